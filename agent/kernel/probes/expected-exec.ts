/**
 * Tells the programs how to recognize the command that a container runtime is about to start (agent/bpf/containers.h): by the
 * container's mount namespace and a hash of the arguments. A command that turns out to be a script is recognized by its name and the
 * following arguments, since the kernel puts the interpreter before the arguments. Tested in expected-exec.test.ts against the running
 * kernel.
 */
import type { KernelEventClass } from '#schemas/policy/role.js';

export interface ExpectedExec {
  /** Number of the mount namespace, as in `/proc/PID/ns/mnt`. */
  readonly mntNs: number;
  readonly argv: readonly string[];
}

/** An expectation in the kernel, until it is closed. */
export interface ExecWindow {
  /** Number of processes that have fitted so far; the first of them is followed. */
  matches(): number;
  close(): void;
}

/** Bits of `enum classes` in agent/bpf/events.h. */
const classBits: Readonly<Record<KernelEventClass, number>> = { exec: 1, file: 2, network: 4, security: 8, dns: 16 };

export const maskOf = (classes: readonly KernelEventClass[]): number => classes.reduce((mask, name) => mask | classBits[name], 0);

const ARGUMENTS_MAX = 4096;
const HASH_SEED = 0xcbf29ce484222325n;
const HASH_PRIME = 0x100000001b3n;
const PLAIN = 1;
const SCRIPT = 2;
const ORDER_BYTES = 32;

/** `struct expect_order` for this command as a program, and as a script. */
export function expectOrders({ mntNs, argv }: ExpectedExec, number: number, classes: readonly KernelEventClass[]): readonly Buffer[] {
  const words = argv.map((word) => Buffer.from(`${word}\0`));
  const whole = Buffer.concat(words);
  const rest = whole.subarray(words[0]?.length ?? 0);
  const name = Buffer.from((argv[0] ?? '').replace(/^.*\//s, ''));
  return [
    [PLAIN, hash(whole), whole.length] as const,
    // The programs hash the bytes that they have read of all arguments.
    [SCRIPT, hash(rest, hash(name)), rest.length] as const,
  ].map(([form, value, length]) => {
    const order = Buffer.alloc(ORDER_BYTES);
    order.writeUInt32LE(mntNs, 0);
    order.writeUInt32LE(form, 4);
    order.writeBigUInt64LE(value, 8);
    order.writeBigUInt64LE(BigInt(length), 16);
    order.writeUInt32LE(number, 24);
    order.writeUInt32LE(maskOf(classes), 28);
    return order;
  });
}

/** FNV-1a. Need not be cryptographic: two commands with the same hash are just as indistinguishable as two identical commands. */
function hash(bytes: Uint8Array, seed = HASH_SEED): bigint {
  let value = seed;
  for (const byte of bytes.subarray(0, ARGUMENTS_MAX)) value = BigInt.asUintN(64, (value ^ BigInt(byte)) * HASH_PRIME);
  return value;
}
