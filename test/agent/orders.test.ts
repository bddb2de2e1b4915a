/**
 * Orders of kernel recording at the node service: by channel requests and, from an older gateway, by environment variables, each
 * answered in its own form. paramiko plays the gateway and holds a session certificate. test/kernel/ tests that ordered sessions
 * are recorded.
 */
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ORDER_REQUEST, ORDER_VARIABLE, PROGRESS_VARIABLE, REPORT_REQUEST } from '#schemas/kernel/orders.js';
import type { EventsWay, KernelOrder, KernelReport } from '#schemas/kernel/orders.js';
import { paramikoChannel } from '#runtime/testing/paramiko-channel.js';
import type { KernelRecorder } from '../../agent/kernel/kernel-recorder.js';
import { SshNode, run } from './ssh-node.js';

const login = userInfo().username;
const order: KernelOrder = { session: '01jd0000000000000000000000', mode: 'best_effort', classes: ['exec'], offset_ms: 0, error_ms: 1 };
const node = new SshNode();
const orders: KernelOrder[] = [];
/** Reports its read progress as soon as the program runs. */
const kernel = {
  session: (given: KernelOrder, _way: EventsWay | null, report: (what: KernelReport) => void) => {
    orders.push(given);
    return {
      spawn: <T>(make: () => T): T => {
        const made = make();
        report({ state: 'read', until_ms: 7 });
        report({ state: 'gap', why: 'cut', count: 1, first_ms: 0, last_ms: 7 });
        return made;
      },
      settle: () => Promise.resolve(),
      end: () => undefined,
    };
  },
} as unknown as KernelRecorder;

beforeAll(() => node.start({ kernel }));
afterAll(() => node.dispose());
beforeEach(() => void orders.splice(0));

async function asGateway(script: string): Promise<readonly string[]> {
  const words = node.as(login);
  const port = Number(words.find((word) => word.startsWith('Port='))!.slice('Port='.length));
  const { stdout, stderr } = await run('/usr/bin/python3', [
    '-c',
    paramikoChannel({ port, key: join(node.folder, `id-${login}`), user: login }, script),
  ]);
  expect(stderr).toBe('');
  return stdout.trimEnd().split('\n');
}

const on = `{"state":"on","classes":["exec"]}`;
const gap = `{"state":"gap","why":"cut","count":1,"first_ms":0,"last_ms":7}`;
const text = (what: object): string => `'''${JSON.stringify(what)}'''`;

describe('an order by request', () => {
  it('is followed and answered by requests, with the reports that it asks for', async () => {
    const later = { ...order, reports: ['read', 'a-later-report'], a_later_field: true };
    expect(await asGateway(`ask('${ORDER_REQUEST}', ${text(later)}); run()`)).toEqual([
      `taken ${ORDER_REQUEST}`,
      'taken exec',
      `got ${REPORT_REQUEST} ${on}`,
      `got ${REPORT_REQUEST} {"state":"read","until_ms":7}`,
      `got ${REPORT_REQUEST} ${gap}`,
      'got exit-status',
      'in',
    ]);
    expect(orders).toMatchObject([order]);
  });

  it('that asks for no progress reports gets none', async () => {
    expect(await asGateway(`tell('${ORDER_REQUEST}', ${text(order)}); run()`)).toEqual([
      'taken exec',
      `got ${REPORT_REQUEST} ${on}`,
      `got ${REPORT_REQUEST} ${gap}`,
      'got exit-status',
      'in',
    ]);
  });

  it.each([
    ['request', `tell('${ORDER_REQUEST}', ${text(order)})`],
    ['variable', `tell('env', '${ORDER_VARIABLE}', ${text(order)})`],
  ])('does not appear in the environment of the session’s program (by %s)', async (_form, give) => {
    const printed = await asGateway(`${give}; run('env')`);
    const environment = printed.slice(printed.indexOf('got exit-status') + 1).join('\n');
    expect(environment).toContain('SSH_CONNECTION=');
    expect(environment).not.toMatch(/@steno|01jd0000/);
  });

  it.each([
    ['that cannot be read', `tell('${ORDER_REQUEST}', '{')`],
    ['without a text', `tell('${ORDER_REQUEST}')`],
    ['with extra bytes after it', `tell('${ORDER_REQUEST}', ${text(order)}, 'more')`],
    ['over the size limit of orders', `tell('${ORDER_REQUEST}', '${JSON.stringify(order)}' + ' ' * 4096)`],
    ['that is sent twice', `tell('${ORDER_REQUEST}', ${text(order)}); tell('${ORDER_REQUEST}', ${text(order)})`],
    ['that is sent in both forms', `tell('${ORDER_REQUEST}', ${text(order)}); tell('env', '${ORDER_VARIABLE}', ${text(order)})`],
  ])('%s starts nothing', async (_what, give) => {
    expect(await asGateway(`${give}; run()`)).toEqual(['taken exec', 'got exit-status']);
    expect(orders).toEqual([]);
  });

  it('is the only private request that is accepted', async () => {
    expect((await asGateway(`ask('${REPORT_REQUEST}', ${text({})}); ask('later@steno'); run()`)).slice(0, 2)).toEqual([
      `refused ${REPORT_REQUEST}`,
      'refused later@steno',
    ]);
  });
});

describe('an older gateway', () => {
  it('orders by variables and is answered by signals', async () => {
    expect(await asGateway(`tell('env', '${PROGRESS_VARIABLE}', '1'); tell('env', '${ORDER_VARIABLE}', ${text(order)}); run()`)).toEqual([
      'taken exec',
      `got exit-signal USR1 kernel@steno ${on}`,
      `got exit-signal USR1 kernel@steno {"state":"read","until_ms":7}`,
      `got exit-signal USR1 kernel@steno ${gap}`,
      'got exit-status',
      'in',
    ]);
    expect(orders).toEqual([order]);
  });

  it('that does not ask for progress gets no progress reports', async () => {
    expect(await asGateway(`tell('env', '${ORDER_VARIABLE}', ${text(order)}); run()`)).not.toContainEqual(expect.stringContaining('read'));
  });
});
