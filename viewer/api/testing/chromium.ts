/** Starts the real browser for tests and benchmarks: headless, and without network requests of its own. */
import type { LaunchOptions, Page } from 'playwright-core';

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

/** Chromium logs this on a busy machine, where the page's scripts start seconds after the browser preloaded data for them. */
const LATE_PRELOAD = /was preloaded using link preload but not used within a few seconds/;

/**
 * Waits on this page last up to a minute. Problems on the page (errors and warnings of the console, uncaught errors, dialogs) are added
 * to `complaints`.
 */
export function watchPage(page: Page, complaints: string[]): void {
  page.setDefaultTimeout(60_000);
  page.on('console', (message) => {
    if ((message.type() === 'error' || message.type() === 'warning') && !LATE_PRELOAD.test(message.text())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('dialog', (dialog) => {
    complaints.push(`dialog ${dialog.message()}`);
    void dialog.dismiss();
  });
}
