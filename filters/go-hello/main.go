// Command go-hello is a Proxy-Wasm filter in Go without an SDK: it greets in a response header, and denies requests
// that carry the header x-go-deny. It shows that a second language's toolchain, runtime included, works on this host.
package main

import (
	"unsafe"
)

const (
	ok             = 0
	actionContinue = 0
	actionPause    = 1

	requestHeaders  = 0
	responseHeaders = 2

	logInfo = 2
)

//go:wasmimport env proxy_log
func proxyLog(level uint32, text unsafe.Pointer, size uint32) uint32

//go:wasmimport env proxy_get_header_map_value
func getHeader(m uint32, key unsafe.Pointer, keySize uint32, out unsafe.Pointer, outSize unsafe.Pointer) uint32

//go:wasmimport env proxy_add_header_map_value
func addHeader(m uint32, key unsafe.Pointer, keySize uint32, value unsafe.Pointer, valueSize uint32) uint32

//go:wasmimport env proxy_send_local_response
func sendLocalResponse(status uint32, details unsafe.Pointer, detailsSize uint32, body unsafe.Pointer, bodySize uint32,
	headers unsafe.Pointer, headersSize uint32, grpcStatus int32) uint32

//go:wasmexport proxy_abi_version_0_2_1
func abiVersion() {}

// What the host fills is kept here until it is read, so that the collector does not free it before.
var given = map[uintptr][]byte{}

//go:wasmexport proxy_on_memory_allocate
func allocate(size uint32) unsafe.Pointer {
	buffer := make([]byte, size)
	at := unsafe.Pointer(unsafe.SliceData(buffer))
	given[uintptr(at)] = buffer
	return at
}

//go:wasmexport proxy_on_context_create
func onContextCreate(id uint32, parent uint32) {}

//go:wasmexport proxy_on_vm_start
func onVMStart(id uint32, size uint32) uint32 { return 1 }

//go:wasmexport proxy_on_configure
func onConfigure(id uint32, size uint32) uint32 {
	log("hello from Go")
	return 1
}

//go:wasmexport proxy_on_request_headers
func onRequestHeaders(id uint32, count uint32, end uint32) uint32 {
	if _, found := header(requestHeaders, "x-go-deny"); found {
		body := "denied by Go"
		sendLocalResponse(403, nil, 0, text(body), uint32(len(body)), nil, 0, -1)
		return actionPause
	}
	return actionContinue
}

//go:wasmexport proxy_on_response_headers
func onResponseHeaders(id uint32, count uint32, end uint32) uint32 {
	who, found := header(requestHeaders, "x-who")
	if !found {
		who = "world"
	}
	name, value := "x-go", "hello "+who
	addHeader(responseHeaders, text(name), uint32(len(name)), text(value), uint32(len(value)))
	return actionContinue
}

//go:wasmexport proxy_on_done
func onDone(id uint32) uint32 { return 1 }

//go:wasmexport proxy_on_delete
func onDelete(id uint32) {}

func header(m uint32, key string) (string, bool) {
	var at, size uint32
	if getHeader(m, text(key), uint32(len(key)), unsafe.Pointer(&at), unsafe.Pointer(&size)) != ok {
		return "", false
	}
	value := string(given[uintptr(at)])
	delete(given, uintptr(at))
	return value, true
}

func log(message string) { proxyLog(logInfo, text(message), uint32(len(message))) }

func text(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }

func main() {}
