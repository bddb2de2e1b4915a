/** A live session, and the owner's page in Chromium. */
import type { Page } from 'playwright-core';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { must, viewerOf } from './client-tools.js';
import { eventually } from './machine.js';
import type { Steno, Terminal } from './machine.js';

/** Opens a shell on the machine's own node as the only live session, and waits for its prompt. */
export async function openLiveSession(
  steno: Steno,
  size: { readonly cols: number; readonly rows: number },
): Promise<{ readonly owner: Terminal; readonly session: SessionInfo }> {
  const owner = steno.terminal('ssh', ['-F', steno.config, '-tt', `${steno.login}@local.steno`], size);
  await owner.until(/[$#] $/);
  const [session] = await eventually(
    () => viewerOf(steno).sessions({ state: 'live' }),
    (rows) => rows.length === 1 && rows[0]!.live !== undefined,
  );
  return { owner, session: session! };
}

/** Signs the owner in on `page`. Returns the origin of the page. */
export async function signInOwner(steno: Steno, page: Page): Promise<string> {
  const { stdout } = await must(steno.steno('login', '--web', '--data', steno.data));
  const link = /http\S+#sign-in=[A-Za-z0-9_-]{40,}/.exec(stdout)?.[0];
  if (link === undefined) throw new Error(`no address to sign in at: ${stdout}`);
  await page.goto(link);
  await page.getByText('Sign out').waitFor();
  return new URL(link).origin;
}

/** Signs the owner in and waits until the page follows the session. */
export async function followOnPage(steno: Steno, page: Page, session: Pick<SessionInfo, 'id'>): Promise<void> {
  const origin = await signInOwner(steno, page);
  await page.goto(`${origin}/sessions/${session.id}`);
  await page.waitForSelector('.live-button.following');
}
