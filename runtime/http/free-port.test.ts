import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { freePort, listenOnce } from './free-port.js';

describe('a free port', () => {
  it('is outside the range of ports for connections and can be listened on', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const ephemeral = (server.address() as AddressInfo).port;
    for (let i = 0; i < 50; i++) {
      const port = await freePort();
      expect(port).toBeGreaterThanOrEqual(10_240);
      expect(port).not.toBe(ephemeral);
      expect(await listenOnce('127.0.0.1', port)).toBe(port);
    }
    await expect(listenOnce('127.0.0.1', ephemeral)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    server.close();
  });

  it('is refused with the reason if nothing can listen on the address', async () => {
    // A documentation address (RFC 5737), which no machine has.
    await expect(freePort('192.0.2.1')).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
  });
});
