module example.com/{{name}}

go 1.24

[[typed]]
require events v0.0.0

replace events => {{root}}/events/src

[[end]]
require sandbus v0.0.0

[[own]]
replace sandbus => ./{{sdk}}
[[end]]
[[shared]]
replace sandbus => {{sdk}}
[[end]]
