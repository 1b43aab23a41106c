//! The callbacks of one instance, looked up once. A callback that the module lacks is never called.

use wasmtime::{Instance, Store, TypedFunc, WasmParams, WasmResults};

use super::State;
use crate::outcome::Direction;

/// The callbacks that a module may have.
pub(crate) struct Exports {
    pub(crate) context_create: Option<TypedFunc<(u32, u32), ()>>,
    pub(crate) vm_start: Option<TypedFunc<(u32, u32), u32>>,
    pub(crate) configure: Option<TypedFunc<(u32, u32), u32>>,
    pub(crate) done: Option<TypedFunc<u32, u32>>,
    pub(crate) log: Option<TypedFunc<u32, ()>>,
    pub(crate) delete: Option<TypedFunc<u32, ()>>,
    pub(crate) tick: Option<TypedFunc<u32, ()>>,
    pub(crate) queue_ready: Option<TypedFunc<(u32, u32), ()>>,
    pub(crate) http_call_response: Option<HttpCallResponseFn>,
    request: SideExports,
    response: SideExports,
}

/// Context, token, number of headers, size of the body, number of trailers.
type HttpCallResponseFn = TypedFunc<(u32, u32, u32, u32, u32), ()>;

/// The callbacks of one direction.
pub(crate) struct SideExports {
    pub(crate) headers: Option<HeadersFn>,
    pub(crate) body: Option<TypedFunc<(u32, u32, u32), u32>>,
    pub(crate) trailers: Option<TypedFunc<(u32, u32), u32>>,
}

/// `proxy_on_{request,response}_headers`, which differ by version.
pub(crate) enum HeadersFn {
    /// Since 0.2.0: context, number of headers, end of stream.
    WithEnd(TypedFunc<(u32, u32, u32), u32>),
    /// 0.1.0: context, number of headers.
    WithoutEnd(TypedFunc<(u32, u32), u32>),
}

// === impl Exports ===

impl Exports {
    pub(crate) fn look_up(instance: &Instance, store: &mut Store<State>) -> Self {
        let request = SideExports {
            headers: headers(instance, store, "proxy_on_request_headers"),
            body: func(instance, store, "proxy_on_request_body"),
            trailers: func(instance, store, "proxy_on_request_trailers"),
        };
        let response = SideExports {
            headers: headers(instance, store, "proxy_on_response_headers"),
            body: func(instance, store, "proxy_on_response_body"),
            trailers: func(instance, store, "proxy_on_response_trailers"),
        };
        Self {
            context_create: func(instance, store, "proxy_on_context_create"),
            vm_start: func(instance, store, "proxy_on_vm_start"),
            configure: func(instance, store, "proxy_on_configure"),
            done: func(instance, store, "proxy_on_done"),
            log: func(instance, store, "proxy_on_log"),
            delete: func(instance, store, "proxy_on_delete"),
            tick: func(instance, store, "proxy_on_tick"),
            queue_ready: func(instance, store, "proxy_on_queue_ready"),
            http_call_response: func(instance, store, "proxy_on_http_call_response"),
            request,
            response,
        }
    }

    pub(crate) fn side(&self, direction: Direction) -> &SideExports {
        match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }
}

/// The export of this name and signature; signatures were checked when the module was compiled.
pub(crate) fn func<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<State>,
    name: &str,
) -> Option<TypedFunc<P, R>> {
    instance.get_typed_func(store, name).ok()
}

fn headers(instance: &Instance, store: &mut Store<State>, name: &str) -> Option<HeadersFn> {
    func(instance, store, name)
        .map(HeadersFn::WithEnd)
        .or_else(|| func(instance, store, name).map(HeadersFn::WithoutEnd))
}
