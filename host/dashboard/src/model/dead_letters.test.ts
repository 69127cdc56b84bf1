import { expect, test } from "vitest";
import { callsText, execute, extentOf, filterOf, planOf, type Group } from "./dead_letters";

function group(sample: number, count: number, subscription: string, status: Group["status"] = "open"): Group {
  return {
    sample,
    count,
    subscription,
    status,
    cause: "trap",
    signature: "",
    digest: null,
    first_at: "",
    last_at: "",
    status_by: null,
    status_since: null,
  };
}

const GROUPS = [group(9, 1_200, "b/two"), group(4, 3, "a/one"), group(2, 1, "c/three", "ignored")];

test("one call affects all groups if the filter leaves none out", () => {
  const plan = planOf(GROUPS, { status: "all" });
  expect(extentOf(plan)).toBe("1,204 dead letters of 3 subscriptions");
  expect(plan.calls).toEqual([{ all: true, limit: 1_204 }]);
  expect(planOf(GROUPS.slice(0, 2), { status: "open", cause: "trap" }).calls).toEqual([
    { subscription: undefined, cause: "trap", limit: 1_203 },
  ]);
});

test("each group is a call of its own if the filter leaves some out by status", () => {
  const plan = planOf(GROUPS, { status: "open" });
  expect(extentOf(plan)).toBe("1,203 dead letters of 2 subscriptions");
  expect(plan.calls).toEqual([
    { like: 9, limit: 1_200 },
    { like: 4, limit: 3 },
  ]);
  expect(callsText("POST", plan)).toBe(
    "POST /v1/dead-letters/redrive?like=9&limit=1200, and 1 more call, one for each group",
  );
  expect(extentOf(planOf(GROUPS, { status: "ignored" }))).toBe("1 dead letter of c/three");
  expect(planOf(GROUPS, { status: "resolved" }).calls).toEqual([]);
});

test("a group that is gone counts nothing, and other failures end the change", async () => {
  const plan = planOf(GROUPS, { status: "open" });
  const seen: number[] = [];
  const gone = async ({ like }: { like?: number }) => {
    if (like === 9) {
      throw { status: 404 };
    }
    return 3;
  };
  expect(await execute(plan, gone, (done) => seen.push(done))).toBe(3);
  expect(seen).toEqual([0, 3]);
  const refused = async () => {
    throw { status: 503 };
  };
  await expect(execute(plan, refused, () => {})).rejects.toEqual({ status: 503 });
});

test("values that the API does not know are not filters", () => {
  const query = new URLSearchParams("cause=magic&status=odd&subscription=a/b");
  expect(filterOf((name) => query.get(name) ?? undefined)).toEqual({
    subscription: "a/b",
    cause: undefined,
    status: "open",
  });
});
