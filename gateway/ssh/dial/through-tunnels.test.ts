/**
 * What holds for nodes that the gateway dials holds for those behind a tunnel: the same tests, once more, with the way
 * changed. What only the door or the client's side is about runs once.
 */
import { afterAll, describe } from 'vitest';
import { setWay } from '../../testing/harness.js';

// Worlds are opened when tests begin, after all of this has been read.
setWay('tunnel');
afterAll(() => setWay('direct'));

describe('a node behind a tunnel: sessions', async () => void (await import('../server/gateway.test.js')));
describe('a node behind a tunnel: forwardings', async () => void (await import('../relay/forwarding.test.js')));
describe('a node behind a tunnel: backpressure', async () => void (await import('../transport/pressure.test.js')));
describe('a node behind a tunnel: limits', async () => void (await import('../../sessions/limits.test.js')));
describe('a node behind a tunnel: other clients', async () => void (await import('../server/clients.test.js')));
