module sandbus

go 1.24
