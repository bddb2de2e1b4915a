/**
 * All output is stored exactly once, its chain is whole, the spool is free and the session closed, wherever a process, a
 * connection or the power fails. The test first tries every single step of sessions whose parts end in every way, and then
 * random histories of steps and failures (`STENO_MODEL_RUNS` of them; seed and path of a failure are printed).
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CHECKPOINT_BYTES } from '../../gateway/spool/signed-log.js';
import type { Death } from './uplink-world.js';
import { World } from './uplink-world.js';

const RUNS = Number(process.env['STENO_MODEL_RUNS'] ?? 150);
const whens = ['before', 'midway', 'after'] as const satisfies readonly Death['when'][];

/** Sessions whose last block ends within a part, at the end of a part, or so that it ends a part itself. */
const sessions: Readonly<Record<string, (world: World) => void>> = {
  'a few bytes': (world) => world.append(100),
  'one part and a half': (world) => {
    for (let i = 0; i < 12; i++) world.append(32_000);
  },
  'a last block that crosses the size of a part': (world) => {
    for (let written = 0; written < CHECKPOINT_BYTES && world.gateway !== null; written = world.written.bytes) {
      world.append(written < CHECKPOINT_BYTES - 30_000 ? 20_000 : 1_000);
    }
    if (world.gateway !== null) expect(world.written.cut).toBeLessThan(CHECKPOINT_BYTES);
  },
  'a checkpoint by time, and nothing after it': (world) => {
    world.append(500);
    world.pass(2_000);
    world.pass(61_000);
  },
  'two checkpoints, and nothing after them': (world) => {
    world.append(500);
    world.pass(2_000);
    world.settle();
    world.append(500);
    world.pass(2_000);
    world.settle();
  },
};

/** Runs a session from its first byte until nothing is left to do, and calls `meanwhile` after each round. */
async function run(world: World, session: (world: World) => void, meanwhile: () => void = () => undefined): Promise<void> {
  world.connect();
  session(world);
  await world.sync();
  await world.round();
  meanwhile();
  world.end();
  await world.sync();
  for (let idle = 0; idle < 3 && world.connected;) {
    const moved = world.send(1) + (await world.toIngest(1)) + world.toGateway(1);
    idle = moved === 0 ? idle + 1 : 0;
    meanwhile();
  }
}

async function inWorld(act: (world: World) => Promise<void>): Promise<void> {
  const world = await World.create();
  try {
    await act(world);
    await world.quiet();
    expect(world.problems()).toEqual([]);
  } finally {
    world.dispose();
  }
}

describe.each(Object.entries(sessions))('a session of %s', (_name, session) => {
  test('arrives', () => inWorld((world) => run(world, session)));

  test('survives the death of its gateway at every disk call, and then of the next gateway during recovery', async () => {
    for (let nth = 1, reached = true; reached; nth++) {
      for (const when of whens) {
        await inWorld(async (world) => {
          world.planGateway({ nth, when });
          await run(world, session);
          reached = world.gateway === null;
          world.startGateway({ nth: 1 + (nth % 4), when });
        });
      }
    }
  });

  test('survives the death of ingest at every write to a store', async () => {
    for (let nth = 1, reached = true; reached; nth++) {
      for (const when of ['before', 'after'] as const) {
        await inWorld(async (world) => {
          world.planIngest({ nth, when });
          await run(world, session);
          reached = world.ingest === null;
        });
      }
    }
  });

  test('survives the death of ingest, or of the connection, or of the power, after every frame', async () => {
    const deaths = [
      (world: World) => world.killIngest(),
      (world: World) => world.cutWire(),
      (world: World) => world.killGateway(true),
    ] as const;
    for (const death of deaths) {
      for (let nth = 1, reached = true; reached; nth++) {
        await inWorld(async (world) => {
          reached = false;
          await run(world, session, () => {
            if (reached || world.frames < nth) return;
            reached = true;
            death(world);
          });
        });
      }
    }
  });
});

test('an older gateway that was stuck: its journal has an open part and the last part at the same block, and ingest has the first', () =>
  inWorld(async (world) => {
    sessions['a last block that crosses the size of a part']!(world);
    world.end();
    await world.sync();
    world.connect();
    // Ingest stores the open part and dies before it learns of the end; the gateway restarts.
    for (let waited = 0; world.storedParts === 0 && waited < 100; waited++) {
      world.send(1);
      await world.toIngest(1);
      world.toGateway(1);
    }
    world.killIngest();
    world.killGateway();
    expect(world.storedParts).toBe(1);
  }));

// ---- random histories ------------------------------------------------------------------------------------------------

class Step implements fc.AsyncCommand<object, World> {
  readonly #text: string;
  readonly #act: (world: World) => unknown;
  constructor(text: string, act: (world: World) => unknown) {
    this.#text = text;
    this.#act = act;
  }
  check = (): boolean => true;
  async run(_model: object, world: World): Promise<void> {
    await this.#act(world);
    await world.rest();
  }
  toString = (): string => this.#text;
}

const death = fc.record({ nth: fc.integer({ min: 1, max: 12 }), when: fc.constantFrom(...whens) });
const frames = fc.constantFrom(1, 1, 2, 5, 100);
const steps = [
  fc
    .constantFrom(20, 500, 3_000, 40_000, 65_000, 70_000, 270_000)
    .map((bytes) => new Step(`append ${bytes}`, (world) => world.append(bytes))),
  fc.constantFrom(1, 50, 1_000, 61_000).map((ms) => new Step(`pass ${ms}`, (world) => world.pass(ms))),
  fc.constant(new Step('settle', (world) => world.settle())),
  fc.constant(new Step('sync', (world) => world.sync())),
  fc.constant(new Step('relieve', (world) => world.relieve())),
  fc.constant(new Step('end', (world) => world.end())),
  fc.constant(new Step('connect', (world) => world.connect())),
  fc.constant(new Step('cut wire', (world) => world.cutWire())),
  frames.map((n) => new Step(`send ${n}`, (world) => world.send(n))),
  frames.map((n) => new Step(`to ingest ${n}`, (world) => world.toIngest(n))),
  frames.map((n) => new Step(`to gateway ${n}`, (world) => world.toGateway(n))),
  fc.constant(new Step('everything moves', (world) => world.round())),
  death.map(({ nth, when }) => new Step(`gateway dies ${when} call ${nth}`, (world) => world.planGateway({ nth, when }))),
  fc.boolean().map((power) => new Step(power ? 'power lost' : 'kill gateway', (world) => world.killGateway(power))),
  fc
    .option(death, { nil: null })
    .map(
      (next) => new Step(`start gateway ${next === null ? '' : `dies ${next.when} call ${next.nth}`}`, (world) => world.startGateway(next)),
    ),
  death.map(({ nth, when }) => new Step(`ingest dies ${when} write ${nth}`, (world) => world.planIngest({ nth, when }))),
  fc.constant(new Step('kill ingest', (world) => world.killIngest())),
  fc.constant(new Step('start ingest', (world) => world.startIngest())),
  fc.constant(new Step('stores stop', (world) => world.stopStores())),
  fc.constant(new Step('stores go', (world) => world.goStores())),
];

test(`${RUNS} random histories`, { timeout: 600_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.commands(steps, { maxCommands: 60, size: 'max' }), async (commands) => {
      await inWorld((world) => fc.asyncModelRun(() => ({ model: {}, real: world }), commands));
    }),
    { numRuns: RUNS },
  );
});
