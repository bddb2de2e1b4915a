/** The cost of a mebibyte through `kubectl exec` for the gateway, counted (../end-to-end/budget.ts). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callsOfEach, expectTransferWithin } from '../end-to-end/budget.js';
import type { TransferBudget } from '../end-to-end/budget.js';
import { eventually } from '../end-to-end/machine.js';
import { lacking } from './kubernetes.js';
import { openKubeScene, succeeded } from './scene.js';
import type { KubeScene } from './scene.js';

if (lacking !== null) console.warn(`skipped: ${lacking}`);
const MIB = 32;

describe.skipIf(lacking !== null)('the gateway keeps its budget for a mebibyte', () => {
  let scene: KubeScene;
  /** Each version of the role allows a new resource, and a request for it shows that the gateway has the new version. */
  const record = async (streams: string, resource: string): Promise<void> => {
    const { steno, kubernetes, file } = scene;
    const rule = { groups: ['system:masters'], resources: ['pods/exec', 'pods', resource] };
    const role = { kind: 'role', name: 'kube', allow: { kubernetes: [rule] }, recording: { streams } };
    await succeeded(steno.steno('apply', '-f', file('role.json', JSON.stringify(role))));
    const denied = resource === 'services' ? 'configmaps' : 'services';
    await eventually(
      () => Promise.all([resource, denied].map((one) => steno.exec(kubernetes.kubectl, ['get', one]))),
      (all) => all.map(({ status }) => status).join() === '0,1',
    );
  };
  beforeAll(async () => {
    scene = await openKubeScene();
  }, 300_000);
  afterAll(() => scene?.close(), 60_000);

  const pass = async (what: string, sockets: string, up: boolean, budget: TransferBudget): Promise<void> => {
    const { steno, kubernetes } = scene;
    const words = up
      ? ['-i', 'box', '--', 'sh', '-c', 'cat > /dev/null; echo whole']
      : ['box', '--', 'head', '-c', `${MIB << 20}`, '/dev/zero'];
    const counted = await callsOfEach(steno.run.processes['gateway']!, MIB, async () => {
      const { status, stderr } = await steno.exec(kubernetes.kubectl, ['exec', ...words], {
        ...(up ? { input: Buffer.alloc(MIB << 20) } : {}),
        env: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: sockets },
      });
      expect([status, stderr]).toEqual([0, '']);
    });
    expectTransferWithin(`a mebibyte ${what}`, counted, budget);
  };

  // The gateway writes only the forwarded bytes.
  const passedOn = { writesPerRead: 1.5, bytesWritten: 2_300_000 };
  it('recorded as counts and hashes', async () => {
    await record('limited', 'services');
    await pass('from the pod over WebSocket', 'true', false, passedOn);
    await pass('to the pod over WebSocket', 'true', true, passedOn);
    await pass('from the pod over SPDY', 'false', false, passedOn);
    await pass('to the pod over SPDY', 'false', true, passedOn);
  });

  // It also writes them to the spool and to ingest, in base64, with one write per frame, because a frame must be recorded before it is shown.
  const inFull = { writesPerRead: 5, bytesWritten: 8_000_000 };
  it('recorded in full', async () => {
    await record('commands', 'configmaps');
    await pass('from the pod, in full', 'true', false, inFull);
    await pass('to the pod, in full', 'true', true, inFull);
  });
});
