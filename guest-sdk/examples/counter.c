// Counts the events of each type, and logs how many there were. The bindings come from the contract.
#include "plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static plugin_string_t text(const char *characters) {
  plugin_string_t string;
  plugin_string_dup(&string, characters);
  return string;
}

void exports_sandbus_plugin_descriptor_describe(exports_sandbus_plugin_descriptor_descriptor_t *self) {
  // What is not named is zero: no routes, no schedules, and each option left out.
  memset(self, 0, sizeof *self);
  self->name = text("counter-c");
  self->version = text("1.0.0");
  exports_sandbus_plugin_descriptor_subscription_t *all = calloc(1, sizeof *all);
  all->name = text("all");
  all->pattern = text("user.>");
  self->subscriptions.ptr = all;
  self->subscriptions.len = 1;
}

bool exports_sandbus_plugin_event_handler_handle(
    exports_sandbus_plugin_event_handler_delivery_t *delivery,
    exports_sandbus_plugin_event_handler_failure_t *failure) {
  plugin_string_t none = {0}, *type = &delivery->event.type;
  wasi_keyvalue_store_own_bucket_t bucket;
  wasi_keyvalue_store_error_t error;
  int64_t count = 0;
  bool done = wasi_keyvalue_store_open(&none, &bucket, &error)
      && wasi_keyvalue_atomics_increment(wasi_keyvalue_store_borrow_bucket(bucket), type, 1, &count, &error);
  if (!done) {
    failure->tag = SANDBUS_PLUGIN_TYPES_FAILURE_REJECT;
    failure->val.reject = text("the count cannot be stored");
    return false;
  }
  char line[256];
  snprintf(line, sizeof line, "%.*s: %lld", (int)type->len, (char *)type->ptr, (long long)count);
  plugin_string_t message = text(line);
  wasi_logging_logging_log(WASI_LOGGING_LOGGING_LEVEL_INFO, &none, &message);
  return true;
}

bool exports_sandbus_plugin_http_handler_handle(
    exports_sandbus_plugin_http_handler_request_t *request,
    exports_sandbus_plugin_http_handler_response_t *response,
    exports_sandbus_plugin_http_handler_response_t *problem) {
  memset(response, 0, sizeof *response);
  response->status = 404;
  return true;
}
