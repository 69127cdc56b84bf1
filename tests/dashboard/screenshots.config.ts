import tests from "./playwright.config";

/** Takes pictures of every view. */
export default { ...tests, testDir: "src", testMatch: "screenshots.ts" };
