import { expect, test } from 'vitest';
import { gatewayOfResumption, resumption } from './resumption.js';

const random = 'A-_9'.repeat(5) + 'zz';

test.each([
  [`${random}@gw-1`, 'gw-1'],
  [`${random}@`, null],
  [`${random}`, null],
  [`${random}x@gw`, null],
  [`${random}@gw@gw`, null],
  [`${random}@g w`, null],
  [`${random}@gw\r\nx: y`, null],
  [`${random}@${'g'.repeat(64)}`, null],
  ['new', null],
])('%j names the gateway %j', (id, gateway) => {
  expect(gatewayOfResumption(id)).toBe(gateway);
  expect(resumption.safeParse(id).success).toBe(gateway !== null || id === 'new');
});
