module example.com/everything-go

go 1.24

require sandbus v0.0.0

replace sandbus => ../../../guest-sdk/go
