import { defineConfig } from "@playwright/test";

/** The browser of the system. Playwright downloads none. */
export const launchOptions = {
  executablePath: process.env.SANDBUS_CHROMIUM ?? "/usr/bin/chromium",
  // The browser's own sandbox refuses to run as root.
  args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
};

export default defineConfig({
  testDir: "tests",
  outputDir: "../../target/dashboard-tests",
  // Each test starts hosts and a browser, and there may be two cores.
  workers: 1,
  fullyParallel: false,
  forbidOnly: true,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: [["list"]],
  use: {
    launchOptions,
    viewport: { width: 1280, height: 800 },
    timezoneId: "Europe/Berlin",
    locale: "en-GB",
    actionTimeout: 15_000,
  },
});
