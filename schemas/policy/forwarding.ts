/**
 * The forwarding that roles allow: which directions, and the destinations of connections made by the node.
 *
 * Each role may grant (`port_forwarding`) or deny (`deny.port_forwarding`). A forwarding passes if a single grant permits
 * all of it and no denial matches it; rules are therefore kept as lists rather than merged. They are sent to the node in the
 * session certificate, since only the node knows what a name resolves to. The gateway checks first, as far as it can. Tested
 * in forwarding.test.ts.
 */
import { z } from 'zod';
import { literalAddress, parseAddress } from '../base/ip-address.js';
import type { Address } from '../base/ip-address.js';
import { addressesIn, classOfName, classesOf, matchesAddress, matchesName, nameOf, parseDestination } from './destination.js';
import type { AddressClass, DestinationPattern } from './destination.js';

const MAX_TO = 64;
/** Entries of all roles of a session together: they must fit into its certificate. */
export const MAX_DESTINATIONS = 512;

const to = z
  .array(
    z
      .string()
      .max(280)
      .refine(
        (text) => parseDestination(text) !== undefined,
        'is not a destination: an address, a block or a name, and a port or a range of ports after a colon',
      ),
  )
  .min(1)
  .max(MAX_TO);

/** The detailed form of `port_forwarding: true`. */
export const forwardSettings = z.strictObject({
  /** Connections that the node makes for the client (`ssh -L`, `-D`, `-W`). */
  local: z.boolean().default(true),
  /** Ports and sockets on which the node listens for the client (`ssh -R`). */
  remote: z.boolean().default(true),
  /** Unix sockets of the node, both ways. */
  sockets: z.boolean().default(true),
  /** The node's own addresses. */
  loopback: z.boolean().default(true),
  /** Link-local addresses and metadata services of clouds. */
  metadata: z.boolean().default(false),
  /** Permitted destinations; anywhere if omitted. */
  to: to.optional(),
});
export type ForwardSettings = z.output<typeof forwardSettings>;

/** Destinations that no role may allow. */
export const forwardDenial = z.strictObject({
  local: z.boolean().default(false),
  remote: z.boolean().default(false),
  sockets: z.boolean().default(false),
  loopback: z.boolean().default(false),
  metadata: z.boolean().default(false),
  to: to.optional(),
});
export type ForwardDenial = z.output<typeof forwardDenial>;

const encoded = z.strictObject({ allow: z.array(forwardSettings).max(256), deny: z.array(forwardDenial).max(256) });
export interface Forwarding {
  readonly allow: readonly ForwardSettings[];
  readonly deny: readonly ForwardDenial[];
}

export const NO_FORWARDING: Forwarding = { allow: [], deny: [] };
const usual: ForwardSettings = forwardSettings.parse({});
/** The meaning of a certificate without this extension, from an older authority. */
export const USUAL_FORWARDING: Forwarding = { allow: [usual], deny: [] };
const everything: ForwardDenial = { local: true, remote: true, sockets: true, loopback: true, metadata: true };

/** Null: the role grants no forwarding. */
export function grantOf(setting: boolean | ForwardSettings): ForwardSettings | null {
  if (setting === false) return null;
  const grant = setting === true ? usual : setting;
  return grant.local || grant.remote ? grant : null;
}

/** Null: the role denies nothing. */
export function denialOf(setting: boolean | ForwardDenial): ForwardDenial | null {
  if (typeof setting === 'boolean') return setting ? everything : null;
  const { to: list, ...flags } = setting;
  return Object.values(flags).some(Boolean) || list !== undefined ? setting : null;
}

const flags = ['local', 'remote', 'sockets', 'loopback', 'metadata'] as const;

/** Whether `outer` grants everything that `inner` does. Destinations are compared textually. */
export function isGrantWithin(inner: ForwardSettings, outer: ForwardSettings): boolean {
  return (
    flags.every((flag) => !inner[flag] || outer[flag]) &&
    (outer.to === undefined || (inner.to?.every((one) => outer.to!.includes(one)) ?? false))
  );
}

/** Whether `outer` denies everything that `inner` does. */
export function isDenialWithin(inner: ForwardDenial, outer: ForwardDenial): boolean {
  if (outer.local && outer.remote) return true;
  return flags.every((flag) => !inner[flag] || outer[flag]) && (inner.to?.every((one) => outer.to?.includes(one) ?? false) ?? true);
}

/** Without duplicates, in an order independent of the order of roles. */
export function forwardingOf(grants: readonly ForwardSettings[], denials: readonly ForwardDenial[]): Forwarding {
  if (grants.length === 0) return NO_FORWARDING;
  if (grants.length === 1 && denials.length === 0) return { allow: grants, deny: denials };
  return { allow: once(grants), deny: once(denials) };
}

function once<T>(list: readonly T[]): readonly T[] {
  return [...new Map(list.map((one) => [JSON.stringify(one), one])).entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
}

export function isAnyForwarding({ allow, deny }: Forwarding): boolean {
  return allow.some((grant) => (grant.local && !deny.some(({ local }) => local)) || (grant.remote && !deny.some(({ remote }) => remote)));
}

export function destinationsIn({ allow, deny }: Forwarding): number {
  return [...allow, ...deny].reduce((sum, { to: list }) => sum + (list?.length ?? 0), 0);
}

export function encodeForwarding(rules: Forwarding): string {
  return JSON.stringify(rules);
}

/** An unreadable text allows nothing. */
export function decodeForwarding(text: string): Forwarding {
  try {
    const parsed = encoded.safeParse(JSON.parse(text));
    return parsed.success ? (parsed.data as Forwarding) : NO_FORWARDING;
  } catch {
    return NO_FORWARDING;
  }
}

/** Why the node may not listen for the client, or null. `socket`: on a Unix socket. */
export function refuseListening({ allow, deny }: Forwarding, socket: boolean): string | null {
  if (
    deny.some(({ remote, sockets }) => remote || (socket && sockets)) ||
    !allow.some(({ remote, sockets }) => remote && (!socket || sockets))
  ) {
    return `no role allows port forwarding from ${socket ? 'a socket' : 'a port'} of the node`;
  }
  return null;
}

/** Why the node may not connect to a Unix socket for the client, or null. */
export function refuseSocket({ allow, deny }: Forwarding): string | null {
  const denied = deny.some(({ local, sockets }) => local || sockets);
  return denied || !allow.some(({ local, sockets }) => local && sockets) ? 'no role allows port forwarding to a socket of the node' : null;
}

export interface Asked {
  /** The destination as the client wrote it. */
  readonly host: string;
  readonly port: number;
}

/** The addresses to which the node may connect. `own`: addresses of the node itself. */
export function permittedAddresses(
  rules: Forwarding,
  asked: Asked,
  addresses: readonly string[],
  own: readonly string[] = [],
): readonly string[] {
  const mine = own.map(parseAddress).filter((one) => one !== undefined);
  return addresses.filter((text) => {
    const address = parseAddress(text);
    return address !== undefined && refusesAddress(rules, asked, address, mine) === null;
  });
}

function refusesAddress(rules: Forwarding, { host, port }: Asked, address: Address, own: readonly Address[]): string | null {
  const classes = classesOf(address, own);
  const named = literalAddress(host) === undefined;
  const met = (pattern: DestinationPattern, addresses: readonly Address[]): boolean =>
    addresses.some((one) => matchesAddress(pattern, one, port)) || (named && matchesName(pattern, host, port));
  const all = addressesIn(address);
  const denied = rules.deny.some(
    (denial) => denial.local || [...classes].some((one) => denial[one]) || patternsOf(denial).some((pattern) => met(pattern, all)),
  );
  const allowed =
    !denied &&
    rules.allow.some(
      (grant) =>
        grant.local &&
        [...classes].every((one) => grant[one]) &&
        (grant.to === undefined || patternsOf(grant).some((pattern) => met(pattern, [address]))),
    );
  return allowed ? null : refusal(host, port, classes.has('metadata') ? 'metadata' : classes.has('loopback') ? 'loopback' : null);
}

function refusal(host: string, port: number, about: AddressClass | null): string {
  const what = about === null ? '' : about === 'metadata' ? ' (a link-local or metadata address)' : ' (the node itself)';
  return `no role allows port forwarding to ${host}:${port}${what}`;
}

/** Names with the same meaning on every machine. */
const meanings: Readonly<Record<AddressClass, readonly Address[]>> = {
  loopback: ['127.0.0.1', '::1'].map((text) => parseAddress(text)!),
  metadata: ['169.254.169.254'].map((text) => parseAddress(text)!),
};

/**
 * Why the gateway refuses a connection, or null. `nodeChecks`: the node received the same rules, resolves names itself and
 * applies the rules to the result. On any other node (any OpenSSH server), a name could be any address: it passes if a grant
 * names it, or if no rule restricts addresses beyond the default.
 */
export function refuseConnecting(rules: Forwarding, asked: Asked, nodeChecks: boolean): string | null {
  const { host, port } = asked;
  if (port > 65_535) return `there is no port ${port}`;
  // Brackets and a trailing dot belong to URLs and names; some resolvers may still parse an address.
  const literal = literalAddress(host) ?? literalAddress(nameOf(host).replace(/^\[(.*)\]$/, '$1'));
  if (literal !== undefined) return refusesAddress(rules, asked, literal, []);
  const about = classOfName(host);
  if (about !== null)
    return meanings[about].map((address) => refusesAddress(rules, asked, address, [])).find((why) => why !== null) ?? null;
  const { allow, deny } = rules;
  const no = refusal(host, port, null);
  if (deny.some((denial) => denial.local || patternsOf(denial).some((pattern) => matchesName(pattern, host, port)))) return no;
  if (nodeChecks) return allow.some(({ local }) => local) ? null : no;
  // Letters that a resolver may fold into digits and dots, or drop.
  if (!/^[!-~]+$/.test(host)) return no;
  const byAddress = deny.some(({ loopback, metadata, to: list }) => loopback || metadata || list !== undefined);
  const passes =
    !byAddress &&
    allow.some(
      (grant) =>
        grant.local &&
        (patternsOf(grant).some((pattern) => matchesName(pattern, host, port)) ||
          (grant.loopback &&
            (grant.to === undefined || patternsOf(grant).some((pattern) => pattern.kind === 'any' && matchesAddress(pattern, [], port))))),
    );
  return passes ? null : `${no}, because only the node can resolve that name: use an address`;
}

const compiled = new WeakMap<object, readonly DestinationPattern[]>();
function patternsOf(rule: { readonly to?: readonly string[] | undefined }): readonly DestinationPattern[] {
  const known = compiled.get(rule);
  if (known !== undefined) return known;
  const made = (rule.to ?? []).flatMap((text) => parseDestination(text) ?? []);
  compiled.set(rule, made);
  return made;
}
