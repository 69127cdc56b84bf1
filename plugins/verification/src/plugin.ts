// Verifies users who were welcomed: each is given a code, and `POST /verify/{user}` with that code makes them
// verified. A code that nobody uses expires by itself, by an event that the plugin publishes for later.

import { cancel, config, log, plugin, Problem, publish, randomBytes, state } from "@sandbus/sdk";

interface Welcomed {
  user_id: string;
}

interface Pending {
  code: string;
  /** The event that ends it. */
  expiry: string;
}

const key = (user: string) => `pending/${user}`;

export default plugin({
  publishes: ["user.verified", "verification.*"],
  config: { "expires-after": { default: "1h", description: "How long a code may be used" } },
})
  .on("user.welcomed", { retry: { maxAttempts: 5 } }, ({ user_id }: Welcomed) => {
    const code = Array.from(randomBytes(3), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const expiry = publish("verification.expired", { user_id }, { delay: config.require("expires-after") });
    state.set(key(user_id), { code, expiry } satisfies Pending);
    publish("verification.requested", { user_id, code });
    log.info(`asked user ${user_id} for a code`);
  })
  .on("verification.expired", ({ user_id }: Welcomed) => {
    state.delete(key(user_id));
    state.add("expired");
  })
  .route("POST /verify/{user}", (request) => {
    const { user } = request.params;
    const pending = state.get<Pending>(key(user));
    if (pending === undefined) throw new Problem(404, "nothing waits for this user's code", { code: "no-code" });
    if (request.json<{ code: string }>().code !== pending.code)
      throw new Problem(422, "this is not the code", { code: "wrong-code" });
    state.delete(key(user));
    cancel(pending.expiry);
    publish("user.verified", { user_id: user });
    return { json: { message: "User verified successfully" } };
  });
