import { expect, test } from 'vitest';
import { FaultPlan } from './faults.js';

test('faults come in the order they were planned, each as often as planned, and only to their operation', async () => {
  const plan = new FaultPlan<'write' | 'read'>();
  const done: string[] = [];
  const write = (name: string): Promise<string> =>
    plan.run('write', async () => {
      done.push(name);
      return name;
    });
  plan.failBefore('write', 2);
  plan.failAfter('write');
  await expect(write('a')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  await expect(write('b')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  expect(await plan.run('read', async () => 'read')).toBe('read');
  await expect(write('c')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  expect(await write('d')).toBe('d');
  expect(done).toEqual(['c', 'd']);
  expect(plan.calls('write')).toBe(4);
});

test('a held operation arrives, waits, and continues when released', async () => {
  const plan = new FaultPlan<'write'>();
  const held = plan.hold('write');
  let done = false;
  const write = plan.run('write', async () => {
    done = true;
  });
  await held.reached;
  expect(done).toBe(false);
  held.release();
  held.release();
  await write;
  expect(done).toBe(true);
});

test('a refusing store refuses everything until it accepts, and keeps its plan meanwhile', async () => {
  const plan = new FaultPlan<'write'>();
  plan.failAfter('write');
  plan.refuseAll(new Error('out of order'));
  await expect(plan.run('write', async () => 1)).rejects.toThrow('out of order');
  plan.accept();
  await expect(plan.run('write', async () => 1)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  expect(await plan.run('write', async () => 1)).toBe(1);
});
