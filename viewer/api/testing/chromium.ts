/** How tests and benchmarks start the real browser: without a screen, and without what it would ask of the network by itself. */
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

/** Chromium says so on a busy machine, where the page's scripts start seconds after the browser fetched ahead for them. */
const LATE_PRELOAD = /was preloaded using link preload but not used within a few seconds/;

/**
 * Waits of this page last up to a minute. What goes wrong in it (errors and warnings of the console, uncaught errors,
 * dialogs) is added to `complaints`.
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
