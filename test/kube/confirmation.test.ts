/** kubectl under a role that asks for a second factor: refused with an address, confirmed in Chromium, then admitted. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { Secret, TOTP } from 'otpauth';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Invitation } from '#schemas/api/people/users.js';
import { headless } from '../../viewer/api/testing/chromium.js';
import { takePicture } from '../../viewer/api/testing/pictures.js';
import { Steno, bin } from '../end-to-end/machine.js';
import type { Result } from '../end-to-end/machine.js';
import { lacking, startKubernetes } from './kubernetes.js';
import type { Kubernetes } from './kubernetes.js';

if (lacking !== null) console.warn(`skipped: ${lacking}`);
const ADDRESS = /http\S+confirm#[A-Za-z0-9_-]{43}/;

describe.skipIf(lacking !== null)('kubectl under a role that asks for a second factor', () => {
  let kubernetes: Kubernetes;
  let steno: Steno;
  let context: BrowserContext;
  let page: Page;
  let totp: TOTP;
  let steps = 0;
  /** Each code is valid once. */
  const code = (): string => totp.generate({ timestamp: Date.now() + 30_000 * steps++ });
  const environment = (): NodeJS.ProcessEnv => ({
    ...steno.env,
    STENO_HOME: join(steno.folder, 'alice'),
    KUBECONFIG: join(steno.folder, 'alice.kubeconfig'),
  });
  const through = (...args: readonly string[]): Promise<Result> => steno.exec(kubernetes.kubectl, args, { env: environment() });
  const done = async (asked: Promise<Result>): Promise<string> => {
    const { status, stdout, stderr } = await asked;
    if (status !== 0) throw new Error(`${status}: ${stderr}${stdout}\n${steno.logs()}`);
    return stdout;
  };
  const file = (name: string, text: string): string => {
    const path = join(steno.folder, name);
    writeFileSync(path, text);
    return path;
  };
  const confirm = async (refused: Result): Promise<void> => {
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/Forbidden.*KUBE_UNCONFIRMED.*run the command again/s) as string,
    });
    await page.goto('about:blank');
    await page.goto(ADDRESS.exec(refused.stderr)![0]);
    await page.waitForSelector('text=Let kubectl go on?');
    await takePicture(page, 'kube-asked');
    await page.fill('input[name=code]', code());
    await page.click('button.primary:has-text("Confirm")');
    await page.waitForSelector('text=Run the command again');
    await takePicture(page, 'kube-confirmed');
  };

  beforeAll(async () => {
    steno = new Steno();
    kubernetes = await startKubernetes();
    await steno.start('--no-node', '--kube-listen', '127.0.0.1:0');
    await done(steno.steno('login', '--data', steno.data));
    for (const [name, term] of [
      ['sessions', 'require_session_mfa'],
      ['writes', 'require_write_mfa'],
    ] as const) {
      const role = { kind: 'role', name, allow: { kubernetes: [{ groups: ['system:masters'] }] }, [term]: true };
      await done(steno.steno('apply', '-f', file(`${name}.json`, JSON.stringify(role))));
    }
    for (const name of ['east', 'west']) await done(steno.steno('kube', 'add', name, '--kubeconfig', kubernetes.admin));
    const pod = { name: 'main', image: 'localhost/busybox:1', imagePullPolicy: 'Never', command: ['sleep', '1000'] };
    const box = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'box' }, spec: { terminationGracePeriodSeconds: 0, containers: [pod] } };
    await done(steno.exec(kubernetes.kubectl, ['--kubeconfig', kubernetes.admin, 'apply', '-f', file('box.json', JSON.stringify(box))]));
    await done(
      steno.exec(kubernetes.kubectl, ['--kubeconfig', kubernetes.admin, 'wait', '--for=condition=Ready', 'pod/box', '--timeout=90s']),
    );
    context = await chromium.launchPersistentContext(join(steno.folder, 'profile'), headless);
    page = context.pages()[0] ?? (await context.newPage());
    await page.goto((await steno.json<Invitation>('users', 'add', 'alice', '--roles', 'sessions,writes')).link);
    await page.click('text=A password and an authenticator app');
    await page.fill('input[name=new-password]', 'turnip gravel osprey lantern');
    await page.fill('input[name=new-password-again]', 'turnip gravel osprey lantern');
    await page.click('button:has-text("Next")');
    totp = new TOTP({ secret: Secret.fromBase32((await page.textContent('.typed-key code'))!.replaceAll(' ', '')) });
    await page.fill('input[name=code]', code());
    await page.click('button:has-text("Confirm")');
    await page.check('.check input');
    await page.click('button:has-text("Continue")');
    await page.waitForSelector('.who a');
  }, 300_000);
  afterAll(async () => {
    await context?.close();
    await steno?.dispose();
    kubernetes?.close();
  }, 60_000);

  async function login(): Promise<void> {
    const cli = spawn(process.execPath, [bin, 'login', '--proxy', steno.run.web, '--no-browser', '--no-agent'], { env: environment() });
    const ended = new Promise((resolve) => cli.on('exit', resolve));
    const address = await new Promise<string>((resolve) =>
      cli.stderr.on('data', (chunk: Buffer) => {
        const found = /http\S+code=\S+/.exec(chunk.toString())?.[0];
        if (found !== undefined) resolve(found);
      }),
    );
    await page.goto(address);
    await page.click('button:has-text("Approve")');
    expect(await ended).toBe(0);
    for (const name of ['west', 'east']) await done(steno.exec(process.execPath, [bin, 'kube', 'login', name], { env: environment() }));
  }

  it('exec is refused with the address; after the code, exec, cp and port-forward pass', async () => {
    await login();
    expect(await done(through('get', 'pod', 'box', '-o', 'name'))).toBe('pod/box\n');
    await confirm(await through('exec', 'box', '--', 'echo', 'hello'));
    expect(await done(through('exec', 'box', '--', 'echo', 'hello'))).toBe('hello\n');
    await done(through('cp', file('sent', 'text'), 'box:/tmp/sent'));
    expect(await done(through('exec', 'box', '--', 'cat', '/tmp/sent'))).toBe('text');
    // Another cluster needs a confirmation of its own.
    expect((await through('--context', 'steno-west', 'exec', 'box', '--', 'true')).stderr).toMatch(ADDRESS);
  }, 120_000);

  it('a role can ask for writes but not for reads; a confirmation covers both exec and writes', async () => {
    const west = ['--context', 'steno-west'];
    await done(through(...west, 'get', 'pods'));
    expect(await done(through(...west, 'auth', 'can-i', 'delete', 'pods'))).toBe('yes\n');
    expect(await through(...west, 'label', 'pod', 'box', 'tier=front')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(ADDRESS) as string,
    });
    await done(through('label', 'pod', 'box', 'tier=front'));
    await done(through('delete', 'pod', 'box'));
  }, 120_000);
});
