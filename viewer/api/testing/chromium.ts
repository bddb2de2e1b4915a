/** How tests and benchmarks start the real browser: without a screen, and without what it would ask of the network by itself. */
import type { LaunchOptions } from 'playwright-core';

export const executablePath = process.env['STENO_CHROMIUM'] ?? '/usr/bin/chromium';

export const headless: LaunchOptions = {
  executablePath,
  args: [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
};
