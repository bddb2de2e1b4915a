/**
 * Searches for counterexamples to the property that decision 0054 promises: in small worlds, a user who does not administer everything
 * does whatever the authority permits, as every account that they can take control of. The combined reach of these accounts never grows
 * beyond their initial reach and what others granted; and nobody else gains power that they lack.
 *
 * STENO_WORLDS sets the number of worlds, STENO_WORLDS_SEED selects them. The suite always runs the same ones: a counterexample that
 * takes thousands of worlds to find would fail somebody else's change. Other worlds are for deliberate searches.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AccessRequest } from '#schemas/documents/access-request.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Traits } from '#schemas/base/identity.js';
import type { Role } from '#schemas/policy/role.js';
import { Cleanup, temporaryFolder } from '../testing/authority.js';
import { action, plan } from './testing/plans.js';
import type { Action } from './testing/plans.js';
import { ASKING, JOINED, World, machines } from './testing/world.js';
import type { WorldPlan } from './testing/world.js';

const WORLDS = Number(process.env['STENO_WORLDS'] ?? 60);

const cleanup = new Cleanup();
let world: World;
beforeAll(async () => {
  world = await World.open(temporaryFolder(cleanup));
  cleanup.add(() => world.records.close());
});
afterAll(() => cleanup.run());

/** How often each kind of change was made, and how often refused, to judge the generator. */
const done = new Map<string, number>();
const kinds = [
  ...[['user'], ['bot'], ['edit'], ['reset', 'token'], ['remove'], ['connect'], ['come'], ['role', 'tweak', 'compose'], ['forget']],
  ...[['node', 'relabel'], ['drop'], ['join'], ['ask'], ['wish'], ['agree', 'approve']],
];
/** Changes made by the current step. */
let changes = 0;

async function attempt(kind: string, act: () => Promise<unknown>): Promise<boolean> {
  try {
    await act();
    changes += 1;
    done.set(kind, (done.get(kind) ?? 0) + 1);
    return true;
  } catch (error) {
    if (!(error instanceof StenoError)) throw error;
    done.set(`${kind} refused`, (done.get(`${kind} refused`) ?? 0) + 1);
    return false;
  }
}

/** An existing role, perhaps under another name, with one field taken from another role. */
function tweaked(found: Role, { to, field, other }: Extract<Action, { kind: 'tweak' }>): object {
  const from = other as Role;
  const copy = { ...found, name: to };
  if (field === 'narrower') return { ...copy, allow: { ...copy.allow, logins: copy.allow.logins.slice(1) } };
  if (field === 'node_expression' || field in copy.allow)
    return { ...copy, allow: { ...copy.allow, [field]: (from.allow as unknown as Record<string, unknown>)[field] } };
  return field === 'nothing' ? copy : { ...copy, [field]: (from as unknown as Record<string, unknown>)[field] };
}

/** Some clauses of the actor's roles as a new role. */
function composed(own: readonly Role[], { to, keep, from }: Extract<Action, { kind: 'compose' }>): object {
  const [base, other] = from.map((at) => own[at % own.length]!) as [Role, Role];
  const { allow } = base;
  const kept = <T>(at: number, list: readonly T[]): readonly T[] => (keep[at]! ? list : []);
  return {
    ...base,
    name: to,
    administer: false,
    view: keep[0]! ? base.view : 'none',
    require_session_mfa: base.require_session_mfa || keep[1]!,
    port_forwarding: keep[2]! ? base.port_forwarding : false,
    allow: {
      ...allow,
      logins: kept(3, allow.logins),
      rules: kept(4, [...allow.rules, ...other.allow.rules]),
      sessions: kept(5, [...allow.sessions, ...other.allow.sessions]),
      approve: kept(6, allow.approve),
      request: kept(7, allow.request),
    },
  };
}

async function unionOf(names: Iterable<string>): Promise<Set<string>> {
  const all = new Set<string>();
  for (const name of names) for (const atom of await world.reach(name, true)) all.add(atom);
  return all;
}

async function play(scene: WorldPlan, actions: readonly Action[]): Promise<void> {
  await world.begin(scene);
  const controlled = new Set(['ann']);
  const requests: AccessRequest[] = [];
  let isConnected = false;
  const allowed = await unionOf(controlled);
  const isAllowed = (atom: string): boolean => allowed.has(atom) || (atom.startsWith(ASKING) && allowed.has(atom.slice(ASKING.length)));
  const others = new Map<string, ReadonlySet<string>>();
  const first = new Map<string, ReadonlySet<string>>();
  for (const name of await world.names()) {
    others.set(name, await world.reach(name, false));
    first.set(name, await world.reach(name, true));
  }
  for (const step of actions) {
    const hands = [...controlled];
    const all = await world.names();
    const actor = 'as' in step ? hands[step.as % hands.length]! : 'ann';
    const traitsFor = async (wanted: Traits | 'mine'): Promise<Traits> =>
      wanted === 'mine' ? (await world.author(actor)).subject.traits : wanted;
    const rolesFor = async (wanted: readonly string[] | 'mine'): Promise<readonly string[]> =>
      wanted === 'mine' ? (await world.author(actor)).subject.roles.map(({ name }) => name) : wanted;
    const target = 'of' in step ? (typeof step.of === 'string' ? step.of : all[step.of % all.length]!) : '';
    // Session terms are compared only for steps that change labels: a narrowed role may take its terms with it.
    const isLabelling = step.kind === 'node' || step.kind === 'relabel';
    const withTerms = new Map<string, ReadonlySet<string>>();
    if (isLabelling) for (const name of all) withTerms.set(name, await world.reach(name, true));
    changes = 0;
    switch (step.kind) {
      case 'user':
        if (
          await attempt('user', async () =>
            world.users.add(
              step.name,
              { roles: await rolesFor(step.roles), traits: await traitsFor(step.traits) },
              await world.author(actor),
            ),
          )
        )
          controlled.add(step.name);
        break;
      case 'bot':
        if (
          await attempt('bot', async () =>
            world.bots.add(
              step.name,
              { roles: await rolesFor(step.roles), traits: await traitsFor(step.traits) },
              60_000,
              await world.author(actor),
            ),
          )
        )
          controlled.add(step.name);
        break;
      case 'edit':
        await attempt('edit', async () =>
          world.users.edit(
            target,
            { ...(step.roles.length === 0 ? {} : { roles: await rolesFor(step.roles) }), traits: await traitsFor(step.traits) },
            await world.author(actor),
          ),
        );
        break;
      case 'take': {
        const taken =
          (await attempt('reset', async () => world.users.reset(target, await world.author(actor)))) ||
          (await attempt('token', async () => world.bots.token(target, 60_000, await world.author(actor))));
        if (taken) controlled.add(target);
        break;
      }
      case 'remove':
        await attempt('remove', async () => world.users.remove(target, await world.author(actor)));
        break;
      case 'role':
        await attempt('role', async () => world.writeRole(await world.author(actor), step.document));
        break;
      case 'tweak': {
        const found = world.directory.current().roles.find(({ name }) => name === step.from);
        if (found !== undefined) await attempt('tweak', async () => world.writeRole(await world.author(actor), tweaked(found, step)));
        break;
      }
      case 'compose':
        await attempt('compose', async () => {
          const author = await world.author(actor);
          if (author.subject.roles.length === 0) throw new StenoError('NOT_FOUND', "a role of one's own");
          return world.writeRole(author, composed(author.subject.roles, step));
        });
        break;
      case 'forget':
        await attempt('forget', async () => world.roles.remove(step.name, await world.author(actor)));
        break;
      case 'node':
        await attempt('node', async () => {
          const known = world.directory.node(step.name);
          const address = step.machine === 0 && known !== undefined ? known.address : machines[step.machine]!.address;
          return world.registry.put(
            { name: step.name, kind: 'openssh', address, labels: step.labels, host_keys: [] },
            await world.author(actor),
          );
        });
        break;
      case 'relabel': {
        const known = world.directory.node(step.name);
        if (known === undefined) break;
        const { [step.key]: _, ...rest } = known.labels;
        const labels = step.value === undefined ? rest : { ...rest, [step.key]: step.value };
        if (JSON.stringify(labels) === JSON.stringify(known.labels)) break;
        await attempt('relabel', async () =>
          world.registry.put(
            { name: step.name, kind: 'openssh', address: known.address, labels, host_keys: [...known.host_keys] },
            await world.author(actor),
          ),
        );
        break;
      }
      case 'drop':
        await attempt('drop', async () => world.registry.remove(step.name, await world.author(actor)));
        break;
      case 'join':
        if (!(await attempt('join', async () => world.token(await world.author(actor), step.labels)))) break;
        // The mere existence of a machine matters to users who may use every machine; its labels are the actor's doing.
        await world.join({});
        for (const name of all) {
          const there = [...(await world.reach(name, true))].filter((atom) => atom.includes(JOINED));
          if (controlled.has(name)) there.forEach((atom) => allowed.add(atom));
          else others.set(name, new Set([...(others.get(name) ?? []), ...there]));
        }
        await world.join(step.labels);
        for (const atom of await unionOf(controlled)) if (atom.includes(JOINED)) allowed.add(atom);
        break;
      case 'connect':
        if (await attempt('connect', async () => world.connect(await world.author(actor), await rolesFor(step.roles)))) {
          isConnected = true;
          for (const name of all) if ((await world.connectorOf(name)) === 'corp') controlled.add(name);
        }
        break;
      case 'come':
        if (isConnected && (await attempt('come', () => world.comeIn(step.name, step.traits)))) controlled.add(step.name);
        break;
      case 'ask':
      case 'wish': {
        const asking = step.kind === 'ask' ? actor : step.by;
        await attempt(step.kind, async () =>
          requests.push(
            await world.requests.create(
              asking,
              { roles: step.roles, nodes: step.roles.length > 0 ? [] : step.nodes, logins: [], reason: 'x', duration: null },
              { actor: asking, source: '' },
            ),
          ),
        );
        break;
      }
      case 'approve':
      case 'agree': {
        const wanted = requests[step.request % Math.max(requests.length, 1)];
        if (wanted === undefined) break;
        const reviewer = step.kind === 'agree' ? step.by : actor;
        const isDone = await attempt(step.kind, () =>
          world.requests.review(reviewer, wanted.id, { decision: 'approve', reason: '', via: 'steno' }, { actor: reviewer, source: '' }),
        );
        // The reach that an uncontrolled reviewer saw is granted; later additions do not count as granted. A user who was granted
        // everything may do everything.
        if (isDone && controlled.has(wanted.user) && (await world.author(wanted.user)).everything) return;
        if (isDone && !controlled.has(reviewer)) for (const atom of await world.reach(wanted.user, true)) allowed.add(atom);
        // Power that roles let somebody approve for others may be given by them.
        const before = others.get(wanted.user);
        if (isDone && before !== undefined && !controlled.has(wanted.user))
          others.set(wanted.user, new Set([...before, ...(await world.reach(wanted.user, true))]));
        break;
      }
    }
    // A refused step changes nothing; that is checked at the end.
    if (changes === 0 && step !== actions.at(-1)) continue;
    for (const atom of await unionOf(controlled))
      if (!isAllowed(atom)) throw new Error(`after ${JSON.stringify(step)} they reach: ${atom}`);
    for (const [name, before] of others) {
      if (controlled.has(name)) continue;
      const assertKept = async (now: ReadonlySet<string>, then: ReadonlySet<string>): Promise<void> => {
        for (const atom of now) {
          // Permission to request power that one has is no gain.
          const isOwn = then.has(atom) || (atom.startsWith(ASKING) && then.has(atom.slice(ASKING.length)));
          // A user who administers everything may do all of it anyway.
          if (!isOwn && !isAllowed(atom) && !(await world.author(name)).everything)
            throw new Error(`after ${JSON.stringify(step)} ${name} reaches: ${atom}`);
        }
      };
      await assertKept(await world.reach(name, false), before);
      if (withTerms.has(name))
        await assertKept(await world.reach(name, true), new Set([...withTerms.get(name)!, ...before, ...(first.get(name) ?? [])]));
    }
  }
}

test(`in ${WORLDS} worlds nobody comes by power that they did not have and were not granted`, async () => {
  const seed = process.env['STENO_WORLDS_SEED'] ?? (process.env['STENO_WORLDS'] === undefined ? '14' : undefined);
  await fc.assert(fc.asyncProperty(plan, fc.array(action, { minLength: 3, maxLength: 20, size: 'max' }), play), {
    numRuns: WORLDS,
    ...(seed === undefined ? {} : { seed: Number(seed) }),
  });
  if (process.env['STENO_WORLDS'] !== undefined) console.log(Object.fromEntries([...done].sort()));
  // A generator whose steps are all refused would prove nothing: every kind of change must succeed repeatedly.
  const made = (group: readonly string[]): number => group.reduce((sum, kind) => sum + (done.get(kind) ?? 0), 0);
  if (WORLDS >= 60) expect(kinds.filter((group) => made(group) < WORLDS / 60)).toEqual([]);
}, 36_000_000);
