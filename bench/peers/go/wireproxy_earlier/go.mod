module build

go 1.26

// The engine is that of wireproxy 1.1.3.
require (
	github.com/pufferffish/wireproxy v1.0.9
	golang.zx2c4.com/wireguard v0.0.0-20250521234502-f333402bd9cb
)

replace suah.dev/protect => ../protect
