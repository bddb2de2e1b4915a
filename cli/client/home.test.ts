import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createHome, knownHosts, openHome, readProfile, sshConfig, writeWhole } from './home.js';
import type { Profile } from './home.js';

const profile: Profile = {
  version: 1,
  cluster: 'main',
  user: 'ada',
  roles: ['admin'],
  logins: ['ada'],
  ssh: '127.0.0.1:8022',
  web: 'http://127.0.0.1:8090',
  authority: 'https://127.0.0.1:9000',
  service_ca: 'PEM',
  ssh_host_ca: ['ssh-ed25519 AAAA'],
  ssh_user_ca: [],
  recording_ca: [],
  x509_user_ca: '',
  valid_before: 2_000_000_000_000,
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'steno-home-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('$STENO_HOME', () => {
  it('is closed to others, and files come whole', () => {
    const home = openHome({ STENO_HOME: join(folder, 'home') });
    createHome(home);
    expect(statSync(home.dir).mode & 0o777).toBe(0o700);
    writeWhole(home.key, 'secret', 0o600);
    expect(statSync(home.key).mode & 0o777).toBe(0o600);
    writeWhole(home.profile, JSON.stringify(profile), 0o600);
    expect(readProfile(home)).toEqual(profile);
  });

  it('without a login, the error says to log in', () => {
    expect(() => readProfile(openHome({ STENO_HOME: folder }))).toThrow(expect.objectContaining({ code: 'NOT_SIGNED_IN' }));
  });

  it('a profile of another version is refused, not repaired', () => {
    const home = openHome({ STENO_HOME: folder });
    writeWhole(home.profile, JSON.stringify({ ...profile, version: 2 }), 0o600);
    expect(() => readProfile(home)).toThrow(expect.objectContaining({ code: 'NOT_SIGNED_IN' }));
  });

  it('stock ssh reads the configuration as meant, also in a folder with a blank in its name', () => {
    const home = openHome({ STENO_HOME: join(folder, 'my home') });
    createHome(home);
    writeWhole(home.sshConfig, sshConfig(home, profile), 0o644);
    const resolved = execFileSync('ssh', ['-G', '-F', home.sshConfig, 'root@web-1.steno'], { encoding: 'utf8' });
    expect(resolved).toMatch(/^proxycommand sh -c 'nc -F -X connect -x 127\.0\.0\.1:8022 .*reach\.js" 127\.0\.0\.1 8022 %h; }'$/m);
    // From the sources, too, what is named is there.
    expect(existsSync(/"([^"]+reach\.js)"/.exec(resolved)![1]!)).toBe(true);
    expect(resolved).toContain('hostkeyalias steno-gateway@main\n');
    expect(resolved).toContain('user root\n');
    expect(resolved).toContain(`certificatefile ${home.certificate}\n`);
    const gateway = execFileSync('ssh', ['-G', '-F', home.sshConfig, 'steno-gateway'], { encoding: 'utf8' });
    expect(gateway).toMatch(/hostname 127\.0\.0\.1\n/);
    expect(gateway).toMatch(/port 8022\n/);
    expect(gateway).toContain('hostkeyalias steno-gateway@main\n');
    // By its address as well, and nothing else that runs on that host.
    const resolve = (...args: string[]): string => execFileSync('ssh', ['-G', '-F', home.sshConfig, ...args], { encoding: 'utf8' });
    expect(resolve('-p', '8022', 'root@web-1@127.0.0.1')).toContain('hostkeyalias steno-gateway@main\n');
    expect(resolve('root@127.0.0.1')).not.toContain('hostkeyalias');
    expect(resolve('-p', '8022', 'root@web-1')).not.toContain('hostkeyalias');
  });

  it('trusts the host CA for the gateway at its port, and for nodes, in the words of every client', () => {
    const key = `ssh-ed25519 ${Buffer.from('0000000b7373682d6564323535313900000020'.padEnd(102, '7'), 'hex').toString('base64')}`;
    const file = join(folder, 'known_hosts');
    for (const [ssh, hosts] of [
      ['127.0.0.1:8022', '*,[*]:8022'],
      ['gw.example.com:22', '*'],
    ] as const) {
      writeWhole(file, knownHosts({ ...profile, ssh, ssh_host_ca: [key] }), 0o644);
      expect(readFileSync(file, 'utf8')).toBe(`@cert-authority steno-gateway@main ${key}\n@cert-authority ${hosts} ${key}\n`);
      for (const host of ['web-1', 'web-1.steno', '[127.0.0.1]:8022', '[web-1]:2222']) {
        expect(execFileSync('ssh-keygen', ['-F', host, '-f', file], { encoding: 'utf8' }), host).toContain(key);
      }
    }
  });
});
