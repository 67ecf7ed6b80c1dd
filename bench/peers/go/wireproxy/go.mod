module build

go 1.26

require github.com/windtf/wireproxy v1.1.3

replace suah.dev/protect => ../protect
