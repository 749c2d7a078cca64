module github.com/pelton-dev/pelton/examples/running-aggregates

go 1.24

require github.com/pelton-dev/pelton/guest-sdk/go v0.1.0

replace github.com/pelton-dev/pelton/guest-sdk/go => ../../guest-sdk/go
