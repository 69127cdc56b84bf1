import { expect, test } from "vitest";
import { routeCurl } from "./route_copies";

test("routes become commands with parameters in capitals", () => {
  const cases: [string, string][] = [
    ["GET /ticks", "curl http://h:1/ticks"],
    ["POST /a/{word}", "curl http://h:1/a/WORD \\\n  -H 'content-type: application/json' --data '{}'"],
    ["DELETE /later/{id}", "curl -X DELETE http://h:1/later/ID"],
    ["HEAD /later", "curl -I http://h:1/later"],
    ["GET /files/{*rest}", "curl http://h:1/files/REST"],
    ["GET /it's", String.raw`curl 'http://h:1/it'\''s'`],
  ];
  for (const [route, command] of cases) {
    expect(routeCurl(route, "http://h:1")).toBe(command);
  }
});
