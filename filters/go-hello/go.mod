module portolan.dev/filters/go-hello

go 1.24
