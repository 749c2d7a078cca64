module github.com/pelton-dev/pelton/guest-sdk/go

go 1.24
