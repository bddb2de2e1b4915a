import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { credential, tellReady } from './service-manager.js';

const folder = mkdtempSync(join(tmpdir(), 'steno-manager-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a service manager', () => {
  it('gives credentials, or none', () => {
    writeFileSync(join(folder, 'steno.token'), 'secret\n');
    expect(credential('steno.token', { CREDENTIALS_DIRECTORY: folder })).toBe('secret\n');
    expect(credential('other', { CREDENTIALS_DIRECTORY: folder })).toBeUndefined();
    expect(credential('steno.token', {})).toBeUndefined();
  });

  it('hears that the service is ready, where there is one', async () => {
    const heard = join(folder, 'heard');
    writeFileSync(join(folder, 'systemd-notify'), `#!/bin/sh\nprintf '%s|' "$NOTIFY_SOCKET" "$@" >> ${heard}\n`, { mode: 0o755 });
    const env = { PATH: `${folder}:${process.env['PATH'] ?? ''}` };
    await tellReady('unheard', env);
    await tellReady('node web-1', { ...env, NOTIFY_SOCKET: '/run/notify' });
    expect(readFileSync(heard, 'utf8')).toBe('/run/notify|--ready|--status=node web-1|');
  });

  it('that has no systemd-notify holds nothing up', async () => {
    await tellReady('node web-1', { PATH: join(folder, 'nowhere'), NOTIFY_SOCKET: '/run/notify' });
  });
});
