/**
 * One authority with many nodes and roles, and a gateway that watches it: bytes and CPU for a stream of changes.
 *
 * Both are separate processes. The gateway's connection goes through a relay that counts bytes, including TLS.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { LoginResult } from '#schemas/api/people/user-certificates.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { signRequest } from '#runtime/http/request-auth.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';

const AT_A_TIME = 16;
const child = fileURLToPath(new URL('./watch-child.js', import.meta.url));

interface Report {
  /** CPU microseconds since the start of the process. */
  readonly cpu: number;
  readonly changes: number;
  readonly addresses?: { readonly tls: string; readonly socket: string };
}

export async function watching(seconds: number, rate: number, nodes: number, roles: number): Promise<Section> {
  const dir = mkdtempSync(join(tmpdir(), 'steno-bench-watch-'));
  const started: ChildProcess[] = [];
  const start = async (...args: string[]): Promise<{ readonly process: ChildProcess; readonly report: Report }> => {
    const process = fork(child, args, { serialization: 'json' });
    started.push(process);
    const [report] = (await once(process, 'message')) as [Report];
    return { process, report };
  };
  try {
    const authority = await start('authority', dir, String(nodes), String(roles));
    const { tls, socket } = authority.report.addresses!;
    let bytes = 0;
    const target = new URL(tls);
    const relay = createServer((near) => {
      const far = connect(Number(target.port), target.hostname);
      far.on('data', (chunk) => {
        bytes += chunk.length;
      });
      near.pipe(far).pipe(near);
      for (const side of [near, far]) side.on('error', () => (near.destroy(), far.destroy()));
    });
    relay.listen(0, '127.0.0.1');
    await once(relay, 'listening');
    const gateway = await start('gateway', `https://127.0.0.1:${(relay.address() as AddressInfo).port}`, socket);
    const first = bytes;

    const change = await changer(socket, tls);
    const [authorityBefore, gatewayBefore] = [await ask(authority.process), await ask(gateway.process)];
    const begun = performance.now();
    const taken: number[] = [];
    let next = 0;
    // Limit of concurrent requests, which an authority that keeps up never reaches; a slower one gets fewer requests.
    const worker = async (): Promise<void> => {
      while (performance.now() - begun < seconds * 1_000) {
        const i = next++;
        const wait = begun + (i * 1_000) / rate - performance.now();
        if (wait > 0) await sleep(wait);
        const at = performance.now();
        await change(i % nodes, i);
        taken.push(performance.now() - at);
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, worker));
    const lasted = (performance.now() - begun) / 1_000;
    const [authorityAfter, gatewayAfter] = [await ask(authority.process), await ask(gateway.process)];
    relay.close();
    const cpu = (before: Report, after: Report): string => round3((after.cpu - before.cpu) / 1_000 / taken.length);
    return {
      title: 'Watch',
      how: `An authority with ${nodes} nodes and ${roles} roles, ${rate} changes of nodes' labels a second for ${seconds} s by signed requests, and one gateway that watches; at most ${AT_A_TIME} requests at a time. CPU in ms for each change.`,
      header: [
        'changes a second',
        'first snapshot, bytes',
        'bytes a change',
        'CPU of the authority',
        'CPU of the gateway',
        'change answered, ms, p50',
        'p99',
        'published to the gateway',
      ],
      rows: [
        [
          round3(taken.length / lasted),
          String(first),
          round3((bytes - first) / taken.length),
          cpu(authorityBefore, authorityAfter),
          cpu(gatewayBefore, gatewayAfter),
          round3(quantile(taken, 0.5)),
          round3(quantile(taken, 0.99)),
          String(gatewayAfter.changes - gatewayBefore.changes),
        ],
      ],
    };
  } finally {
    for (const process of started) process.kill();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function ask(process: ChildProcess): Promise<Report> {
  process.send('report');
  const [report] = (await once(process, 'message')) as [Report];
  return report;
}

/** Changes a label of a node as an administrator. */
async function changer(socket: string, tls: string): Promise<(node: number, value: number) => Promise<void>> {
  const key = generateKey();
  const login = (await callAuthority(
    { kind: 'socket', path: socket },
    { method: 'POST', target: '/v1/login', body: { public_key: formatPublicLine(key.publicBlob) } },
  )) as LoginResult;
  const certificate = parseAuthorizedLine(login.certificate).blob;
  const agent = new Agent({ ca: login.service_ca_pem, checkServerIdentity: () => undefined, keepAlive: true, maxSockets: 16 });
  return async (node, value) => {
    const name = `node-${node}`;
    const target = `/v1/nodes/${name}`;
    const body = { name, kind: 'openssh', address: `${name}.example:22`, labels: { env: 'prod', value: String(value) }, host_keys: [] };
    const authorization = signRequest(key, certificate, 'PUT', target, Buffer.from(JSON.stringify(body)));
    await callAuthority({ kind: 'tls', url: tls, agent }, { method: 'PUT', target, body, headers: { authorization }, timeoutMs: 600_000 });
  };
}
