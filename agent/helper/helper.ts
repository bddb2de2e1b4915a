/**
 * The node service's side of a helper (program.ts): starts helpers, sends requests, and accepts nothing that it did not ask
 * for.
 *
 *     fresh ──judge──► asked ──judged──► judge ──judge──► asked …    one login after the other; ends after some, or when idle
 *        └────become──► bound to an account ──close, or it ends──► over
 *
 * A helper that ends or gives an unexpected answer fails its own requests and nothing else. Judging helpers are kept for a
 * while as users connect, so that nobody waits for Node.js to start; a helper bound to an account is never reused for
 * another. Tested in test/agent/streamlocal.test.ts and test/agent/helper-attack.test.ts.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Log } from '#runtime/log.js';
import { descriptorPair, receiveDescriptor } from './descriptors.js';
import { FrameReader, encodeFrame } from './frames.js';
import { isPlace, parseAnswer } from './messages.js';
import type { Answer, Judgement, Order, Place } from './messages.js';

/** PAM modules that query a directory can be slow; the handshake's own limit is a little longer (ssh-service.ts). */
const JUDGE_LIMIT_MS = 15_000;
const BECOME_LIMIT_MS = 15_000;
/** Idle judges kept, for how long, and logins per judge: this limits what PAM modules leak. */
const MAX_IDLE = 2;
const IDLE_MS = 30_000;
const MAX_JUDGEMENTS = 100;
/** A helper that was told to exit and hangs is killed after this time. */
const LEAVE_MS = 5_000;
/** Bytes of a helper's standard error that are logged. */
const MAX_WORDS = 2_048;

export type ConnectResult = { readonly socket: Socket } | { readonly code: string };
export interface Listening {
  /** 0 for a path. */
  readonly port: number;
  close(): void;
}

interface Listener {
  readonly ready: (port: number | null) => void;
  readonly accept: (socket: Socket) => void;
}

export class Helper {
  readonly #child: ChildProcess;
  readonly #channel: Duplex;
  readonly #reader = new FrameReader(parseAnswer);
  readonly #over: number;
  readonly #log: Log;
  #state: 'fresh' | 'asked' | 'judge' | 'bound' | 'over' = 'fresh';
  #judgements = 0;
  #judged: ((judgement: Judgement, text: string) => void) | undefined;
  #became: ((ok: boolean) => void) | undefined;
  #nextId = 0;
  readonly #dials = new Map<number, (result: ConnectResult) => void>();
  readonly #listeners = new Map<number, Listener>();

  /** Throws if no process or socket can be created. */
  constructor(log: Log) {
    this.#log = log;
    const [ours, theirs] = descriptorPair();
    this.#over = ours;
    try {
      this.#child = spawn(process.execPath, [...flags(), program()], {
        cwd: '/',
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe', 'pipe', theirs],
      });
    } catch (error) {
      closeSync(ours);
      throw error;
    } finally {
      closeSync(theirs);
    }
    this.#channel = this.#child.stdio[3] as Duplex;
    this.#child.on('error', (error) => this.#end(error));
    this.#child.on('exit', (code, signal) => this.#end(code === 0 ? undefined : new Error(`ended with ${signal ?? code}`)));
    this.#channel.on('error', (error) => this.#end(error));
    this.#channel.on('data', (chunk: Buffer) => {
      try {
        for (const answer of this.#reader.push(chunk)) this.#take(answer);
      } catch (error) {
        this.#end(error);
      }
    });
    let words = '';
    this.#child.stderr!.on('data', (chunk: Buffer) => {
      if (words.length < MAX_WORDS) words += chunk.toString('utf8').slice(0, MAX_WORDS - words.length);
    });
    this.#child.stderr!.on('error', () => undefined);
    this.#child.stderr!.on('end', () => {
      if (words !== '') log.warn({ said: words }, 'output of a helper');
    });
  }

  /** Whether it may judge (again). */
  get judges(): boolean {
    return (this.#state === 'fresh' || this.#state === 'judge') && this.#judgements < MAX_JUDGEMENTS;
  }

  /** Runs PAM's account phase, one call at a time. Never rejects: `failed` if there was no answer. */
  judge(service: string, user: string, host: string): Promise<{ readonly judgement: Judgement; readonly text: string }> {
    return new Promise((resolve) => {
      if (!this.judges) return resolve({ judgement: 'failed', text: '' });
      this.#state = 'asked';
      this.#judgements += 1;
      const limit = setTimeout(() => this.#end(new Error(`PAM did not answer within ${JUDGE_LIMIT_MS / 1000} s`)), JUDGE_LIMIT_MS);
      this.#judged = (judgement, text) => {
        clearTimeout(limit);
        if (this.#state === 'asked') this.#state = 'judge';
        resolve({ judgement, text });
      };
      this.#order({ kind: 'account', service, user, host });
    });
  }

  /** Switches the helper to an account's ids for good. False: it failed, and the helper has ended. */
  become({ name, uid, gid }: { readonly name: string; readonly uid: number; readonly gid: number }): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.#state !== 'fresh') return resolve(false);
      this.#state = 'bound';
      const limit = setTimeout(() => this.#end(new Error('it did not take the account')), BECOME_LIMIT_MS);
      this.#became = (ok) => {
        clearTimeout(limit);
        resolve(ok);
      };
      this.#order({ kind: 'become', user: name, uid, gid });
    });
  }

  /** `code`: the errno name, or empty if unknown. */
  connect(place: Place): Promise<ConnectResult> {
    if (this.#state !== 'bound' || !isPlace(place)) return Promise.resolve({ code: 'EINVAL' });
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#dials.set(id, resolve);
      this.#order({ kind: 'connect', id, place });
    });
  }

  /** Null if the account may not listen there, or something exists there. */
  async listen(place: Place, accept: (socket: Socket) => void): Promise<Listening | null> {
    if (this.#state !== 'bound' || !isPlace(place)) return null;
    const id = this.#nextId++;
    const port = await new Promise<number | null>((resolve) => {
      this.#listeners.set(id, { ready: resolve, accept });
      this.#order({ kind: 'listen', id, place });
    });
    if (port === null) return null;
    return {
      port,
      close: () => {
        if (this.#listeners.delete(id)) this.#order({ kind: 'close', id });
      },
    };
  }

  /** The helper removes the paths of its listeners and exits. */
  close(): void {
    this.#end(undefined, 'gently');
  }

  #order(order: Order): void {
    if (this.#state !== 'over') this.#channel.write(encodeFrame(order));
  }

  #take(answer: Answer): void {
    switch (answer.kind) {
      case 'judged': {
        const judged = this.#judged;
        if (judged === undefined) throw new Error('an unrequested judgement');
        this.#judged = undefined;
        return judged(answer.judgement, answer.text);
      }
      case 'became': {
        const became = this.#became;
        if (became === undefined) throw new Error('an unrequested switch of account');
        this.#became = undefined;
        return became(true);
      }
      case 'connected': {
        const socket = this.#received(answer.handover);
        const dial = this.#dials.get(answer.id);
        if (dial === undefined) return void socket.destroy();
        this.#dials.delete(answer.id);
        return dial({ socket });
      }
      case 'accepted': {
        const socket = this.#received(answer.handover);
        const listener = this.#listeners.get(answer.id);
        // Closed in the meantime.
        if (listener === undefined) return void socket.destroy();
        return listener.accept(socket);
      }
      case 'listening':
        return this.#listeners.get(answer.id)?.ready(answer.port);
      case 'failed': {
        this.#dials.get(answer.id)?.({ code: answer.code });
        this.#dials.delete(answer.id);
        this.#listeners.get(answer.id)?.ready(null);
        this.#listeners.delete(answer.id);
      }
    }
  }

  #received(handover: number): Socket {
    const socket = new Socket({ fd: receiveDescriptor(this.#over, handover), readable: true, writable: true, allowHalfOpen: true });
    socket.on('error', () => undefined);
    return socket;
  }

  #end(error: unknown, how: 'gently' | 'at once' = 'at once'): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    if (error !== undefined) this.#log.warn({ err: error }, 'a helper of a login ended');
    closeSync(this.#over);
    this.#channel.destroy();
    if (how === 'at once') this.#child.kill('SIGKILL');
    else setTimeout(() => this.#child.kill('SIGKILL'), LEAVE_MS).unref();
    this.#judged?.('failed', '');
    this.#became?.(false);
    for (const dial of this.#dials.values()) dial({ code: '' });
    this.#dials.clear();
    for (const { ready } of this.#listeners.values()) ready(null);
    this.#listeners.clear();
  }
}

/** The helpers of one node service. */
export class Helpers {
  readonly #log: Log;
  readonly #idle: Helper[] = [];
  #expiry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Called when somebody connects, since a judge will be needed soon. Never throws. */
  warm(): void {
    if (this.#closed || this.#idle.some((helper) => helper.judges)) return;
    try {
      this.#rest(new Helper(this.#log));
    } catch (error) {
      this.#log.warn({ err: error }, 'no helper could be started');
    }
  }

  /** Like `Helper.judge`, using an idle helper or a new one. */
  async judge(service: string, user: string, host: string): ReturnType<Helper['judge']> {
    let helper: Helper | undefined;
    try {
      do helper = this.#idle.pop() ?? new Helper(this.#log);
      while (!helper.judges);
    } catch (error) {
      this.#log.warn({ err: error }, 'no helper could be started');
      return { judgement: 'failed', text: '' };
    }
    const judged = await helper.judge(service, user, host);
    this.#rest(helper);
    return judged;
  }

  /** An unused helper. Throws if none can be started. */
  fresh(): Helper {
    return new Helper(this.#log);
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  #rest(helper: Helper): void {
    if (this.#closed || !helper.judges || this.#idle.length >= MAX_IDLE) return helper.close();
    this.#idle.push(helper);
    clearTimeout(this.#expiry);
    this.#expiry = setTimeout(() => this.#drop(), IDLE_MS);
    this.#expiry.unref();
  }

  #drop(): void {
    clearTimeout(this.#expiry);
    for (const helper of this.#idle.splice(0)) helper.close();
  }
}

/** Disables the signal that opens the debugger to everybody on this machine, if this Node.js has the option. */
function flags(): readonly string[] {
  return process.allowedNodeEnvironmentFlags.has('--disable-sigusr1') ? ['--disable-sigusr1'] : [];
}

/** The compiled program, even when running from sources: the helper starts without a loader. */
function program(): string {
  const places = ['./program.js', '../../dist/agent/helper/program.js'].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const found = places.find((path) => existsSync(path));
  if (found === undefined) throw new Error('the helper program is missing; build Steno again');
  return found;
}
