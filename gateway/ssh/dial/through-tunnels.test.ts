/**
 * Nodes behind a tunnel behave like nodes that the gateway dials: the same tests run again through a tunnel. Tests that concern only
 * the listener or the client's side run once.
 */
import { afterAll, describe } from 'vitest';
import { setWay } from '../../testing/harness.js';

// The harness opens its worlds when tests begin, after all of this has been read.
setWay('tunnel');
afterAll(() => setWay('direct'));

describe('a node behind a tunnel: sessions', async () => void (await import('../server/gateway.test.js')));
describe('a node behind a tunnel: forwardings', async () => void (await import('../relay/forwarding.test.js')));
describe('a node behind a tunnel: backpressure', async () => void (await import('../transport/pressure.test.js')));
describe('a node behind a tunnel: limits', async () => void (await import('../../sessions/limits.test.js')));
describe('a node behind a tunnel: other clients', async () => void (await import('../server/clients.test.js')));
