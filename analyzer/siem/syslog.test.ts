/** Sends rows to a real rsyslog over TLS, also with a receiver that goes away in the middle. */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterAll, describe, expect, it } from 'vitest';
import { eventId } from '#schemas/events/rows.js';
import { exampleEventRow } from '#stores/events/examples.js';
import { linesOf } from './lines.js';
import { SyslogWayOut } from './syslog.js';
import { makeCertificate } from './testing/collector.js';
import { freePort } from '#runtime/http/free-port.js';

const rsyslogd = '/usr/sbin/rsyslogd';
const there = existsSync(rsyslogd) && existsSync('/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so');
if (!there) console.warn('skipped: rsyslog with TLS is not installed');

const folder = mkdtempSync(join(tmpdir(), 'steno-syslog-'));
const certificate = makeCertificate(folder);
const file = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const rows = Array.from({ length: 500 }, (_, index) =>
  exampleEventRow({ index, name: index === 7 ? 'line\nbreak é' : `n${index}`, data: '{"a":"b"}' }),
);
const lines = linesOf('events', rows);
const never = new AbortController().signal;
const to = (port: number): SyslogWayOut =>
  new SyslogWayOut(
    { address: `127.0.0.1:${port}`, max_message: 8_192 },
    () => ({ ca: readFileSync(certificate.certificate, 'utf8') }),
    20_000,
  );

describe.skipIf(!there)('rsyslog over TLS', () => {
  it('has every row when the batch counts as delivered', async () => {
    const port = await freePort();
    writeFileSync(
      file('rsyslog.conf'),
      `global(workDirectory="${folder}" maxMessageSize="64k" defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="${certificate.certificate}"
  defaultNetstreamDriverCertFile="${certificate.certificate}" defaultNetstreamDriverKeyFile="${certificate.key}")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
template(name="whole" type="string" string="%HOSTNAME% %APP-NAME% %MSGID% %msg%\\n")
ruleset(name="steno") { action(type="omfile" file="${file('received')}" template="whole") }
input(type="imtcp" port="${port}" address="127.0.0.1" ruleset="steno")
`,
    );
    execFileSync(rsyslogd, ['-N1', '-f', file('rsyslog.conf')], { stdio: 'ignore' });
    const server: ChildProcess = spawn(rsyslogd, ['-n', '-f', file('rsyslog.conf'), '-i', file('pid')], { stdio: 'ignore' });
    try {
      const way = to(port);
      // Wait until it listens.
      for (;;) {
        try {
          await way.send(lines, never);
          break;
        } catch (error) {
          if (!String(error).includes('ECONNREFUSED')) throw error;
        }
      }
      // rsyslog writes what it has read; stopping it writes the rest.
      server.kill('SIGTERM');
      await once(server, 'exit');
      const received = readFileSync(file('received'), 'utf8').split('\n').slice(0, -1);
      const ids = received.map((line) => (JSON.parse(line.slice(line.indexOf('{'))) as { metadata: { uid: string } }).metadata.uid);
      expect(new Set(ids)).toEqual(new Set(rows.map(eventId)));
      expect(received[0]).toMatch(/^\S+ steno events\.\w+ +\{/);
    } finally {
      if (server.exitCode === null && server.signalCode === null) server.kill('SIGKILL');
    }
  }, 60_000);
});

describe('a receiver of syslog', () => {
  const received = async (take: (socket: TLSSocket) => void): Promise<unknown> => {
    const server = createServer(
      { cert: readFileSync(certificate.certificate), key: readFileSync(certificate.key), allowHalfOpen: true },
      (socket) => {
        socket.on('error', () => undefined);
        take(socket);
      },
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      return await to((server.address() as AddressInfo).port)
        .send(lines, never)
        .then(
          () => 'delivered',
          (error: unknown) => String(error),
        );
    } finally {
      server.close();
    }
  };

  it('that has read to the end has all of it', async () => {
    let bytes = 0;
    expect(
      await received((socket) => {
        socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
        socket.on('end', () => socket.end());
      }),
    ).toBe('delivered');
    expect(bytes).toBeGreaterThan(100_000);
  });

  it('that ends first, or is cut off, has not', async () => {
    expect(await received((socket) => socket.end())).not.toBe('delivered');
    expect(await received((socket) => socket.once('data', () => socket.destroy()))).not.toBe('delivered');
  });

  it('without a certificate that is trusted gets nothing', async () => {
    const way = new SyslogWayOut({ address: '127.0.0.1:1', max_message: 8_192 }, () => ({}), 5_000);
    await expect(way.send(lines, never)).rejects.toThrow();
  });
});
