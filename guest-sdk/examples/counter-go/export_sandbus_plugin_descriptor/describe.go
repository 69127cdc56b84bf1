// What the plugin says about itself.
package export_sandbus_plugin_descriptor

import . "wit_component/sandbus_plugin_descriptor"

func Describe() Descriptor {
	// What is not named is empty: no routes, no schedules, and each option left out.
	return Descriptor{
		Name:          "counter-go",
		Version:       "1.0.0",
		Subscriptions: []Subscription{{Name: "all", Pattern: "user.>"}},
	}
}
