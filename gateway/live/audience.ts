/**
 * Everybody who has joined one live session: what they are sent, and what of theirs reaches it.
 *
 * The session is never slowed by them. What it shows is copied once, gathered for `GATHER_MS` and sent on in turns of `AT_A_TIME`, after its user
 * has it, so that no key of anybody at this gateway waits for all of them; whoever does not take it falls behind alone (participant.ts). Observers' and moderators' input, and the size of every participant's
 * terminal, end here: of the session they see only what `LiveSession` shows. Limits: `MAX_PARTICIPANTS`; a peer's unread input is at most
 * what the protocol takes from them (a window). Tested in audience.test.ts, and with stock clients in ../ssh/server/joined.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { Moderation } from '#schemas/policy/node.js';
import type { AuditEntry } from '../recorder/recorder.js';
import type { LiveSession, SessionAbout, SessionWatcher } from '../sessions/live-session.js';
import { explainError, printable, terminalText } from '../sessions/refusal.js';
import { helpOf } from './commands.js';
import type { Command, Did } from './commands.js';
import { Keyboard } from './keyboard.js';
import { Participant } from './participant.js';
import type { ParticipantFacts, ParticipantLink } from './participant.js';
import { AWAIT_MS, demandText, presenceMs, unmet } from './moderation.js';
import { PresenceProofs } from './presence-proofs.js';
import { LEAVE_MODES, ScreenReplay } from './screen-replay.js';

const MAX_PARTICIPANTS = 1_024;
/** Gives an echo time to reach the session's user before the gateway is busy sending it to others. */
const GATHER_MS = 2;
/** From this size on, output is sent in the next turn: a flood is not gathered. */
const GATHER_BYTES = 16 * 1024;
/** The number of slabs that edge/outbox.ts keeps: a larger batch would allocate memory for each further participant. */
const AT_A_TIME = 16;
/** Screens are drawn at most this often, in ms: somebody who falls behind again and again costs no more. */
const FRAME_MS = 100;
/** A session that prints faster than it can be drawn is drawn again later. */
const MAX_BEHIND = 4 << 20;
const BEHIND_MS = 500;
/** Within so many ms the key that ends a session has to be pressed twice. */
const END_MS = 3_000;

export interface AudienceDeps {
  readonly audit: (entry: AuditEntry) => void;
  /** Monotonic ms. */
  readonly now: () => number;
  /** ms since 1970. */
  readonly clock: () => number;
  /** Who is there, or whom the session waits for, is another. */
  readonly changed: () => void;
  /** The last participant has left, or the session is over. */
  readonly empty: () => void;
}

export class Audience implements SessionWatcher {
  readonly session: LiveSession;
  readonly #about: SessionAbout;
  readonly #deps: AudienceDeps;
  readonly #participants = new Set<Participant>();
  /** Shown, and not offered to anybody. */
  #fresh: Buffer[] = [];
  #freshBytes = 0;
  #gathering: NodeJS.Timeout | undefined;
  /** A round begins in the next turn of the event loop. */
  #due = false;
  /** Participants whose queues have not been flushed in this round. */
  #unsent: readonly Participant[] = [];
  #sent = 0;
  readonly #wanting = new Set<Participant>();
  #replay: ScreenReplay | null = null;
  #framedAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  /** Peers whose input waits for room. */
  readonly #waiting = new Set<() => void>();
  #demands: readonly Moderation[] = [];
  /** Starts the session; null once it has started, or where it never waited. */
  #start: (() => void) | null = null;
  #patience: NodeJS.Timeout | undefined;
  #awaited = '';
  /** A session without a terminal is shown as lines. */
  readonly #plain: boolean;
  readonly #keyboard: Keyboard;
  readonly #silent = new WeakSet<Participant>();
  /** Null: no demand asks for proofs. */
  #presence: PresenceProofs | null = null;
  #ending: { readonly who: Participant; readonly at: number } | null = null;

  constructor(session: LiveSession, about: SessionAbout, deps: AudienceDeps) {
    this.session = session;
    this.#about = about;
    this.#deps = deps;
    this.#plain = about.size() === null;
    session.watcher = this;
    this.#keyboard = new Keyboard(session, {
      audit: (participant, data) => this.#audit('session.keyboard', participant, {}, data),
      tell: (participant, words) => this.#tell(participant, words),
    });
  }

  /** Participants are demanded, by a role of the session's user. */
  get moderated(): boolean {
    return this.#demands.length > 0;
  }

  /** Whom the session waits for, in printable words; empty: nobody. */
  get awaited(): string {
    return this.session.gate.holds('absence') ? this.#awaited : '';
  }

  /** Keeps the session from starting until the demands are met, and from going on while they are not. */
  demand(demands: readonly Moderation[], start: () => void): void {
    this.#demands = demands;
    this.#start = start;
    const interval = presenceMs(demands);
    if (interval !== null)
      this.#presence = new PresenceProofs(interval, {
        now: this.#deps.now,
        after: (ms, callback) => {
          const timer = setTimeout(callback, ms);
          return () => clearTimeout(timer);
        },
        tell: (participant, words) => participant.tell(words, this.#plain, true),
        changed: (participant, missing) => this.#proved(participant, missing),
      });
    this.#patience = setTimeout(() => this.session.end(new StenoError('MODERATION_AWAITED')), AWAIT_MS);
    this.#weigh();
  }

  /** What roles say of the participant now. */
  changed(participant: Participant, roles: readonly string[]): void {
    participant.facts = { ...participant.facts, roles };
    if (this.#participants.has(participant)) this.#weigh();
  }

  /** Nothing is heard of the participant's client, or it is heard again: meanwhile they count as gone. */
  silent(participant: Participant, is: boolean): void {
    if (!this.#participants.has(participant) || this.#silent.has(participant) === is) return;
    if (is) this.#silent.add(participant);
    else this.#silent.delete(participant);
    const { mode, user } = participant.facts;
    // Who counts for nothing is missed by nobody.
    if (!this.moderated && mode !== 'moderator') return;
    const name = printable(user, 64);
    this.session.notice(is ? `nothing is heard of ${name}, who counts as gone until they are back` : `${name} is back`);
    this.#audit(is ? 'session.participant_lost' : 'session.participant_back', participant);
    this.#weigh();
  }

  get participants(): ReadonlySet<Participant> {
    return this.#participants;
  }

  /** Throws PARTICIPANTS_TOO_MANY, and SESSION_INVITATION_USED: an invitation lets its user in once. */
  join(facts: ParticipantFacts, link: ParticipantLink): Participant {
    const { invited = null } = facts;
    if (invited !== null && this.session.invitations.has(invited.id)) throw new StenoError('SESSION_INVITATION_USED');
    if (this.#participants.size >= MAX_PARTICIPANTS) throw new StenoError('PARTICIPANTS_TOO_MANY', `${MAX_PARTICIPANTS}`);
    const participant = new Participant(facts, this.#deps.clock(), link, (who) => this.#frameFor(who));
    this.#participants.add(participant);
    // The session's user at a second terminal counts for no demand.
    if (facts.mode !== 'owner') this.#presence?.joined(participant);
    if (invited !== null) this.session.invitations.add(invited.id);
    this.#deps.changed();
    this.session.recorder.participant({
      ...{ action: 'joined', user: facts.user, mode: facts.mode, source_address: facts.source },
      ...(invited === null ? {} : { invitation: { id: invited.id, by: invited.by, reason: invited.reason } }),
    });
    this.#audit('session.joined', participant, invited === null ? {} : { reason: printable(invited.reason, 256) });
    const why = invited === null ? '' : `, invited by ${printable(invited.by, 64)}: ${printable(invited.reason, 128)}`;
    this.session.notice(`${printable(facts.user, 64)} joined this session as ${facts.mode}${why}`);
    // Before anything that the session prints, and before it starts where it waited for this participant.
    if (this.#plain) this.#frame(participant, this.#heading());
    else participant.flush();
    this.#weigh();
    return participant;
  }

  /** `why`: what the participant is told; null: they are gone already. May be repeated. */
  leave(participant: Participant, why: { readonly lines: readonly string[]; readonly ok: boolean } | null, code = ''): void {
    if (!this.#participants.delete(participant)) return;
    this.#presence?.left(participant);
    this.#deps.changed();
    this.#wanting.delete(participant);
    if (why === null) participant.gone = true;
    else participant.end(why.lines, why.ok);
    this.#left(participant, code);
    this.#keyboard.left(participant);
    this.session.notice(`${printable(participant.facts.user, 64)} left this session`);
    this.#weigh();
    if (this.#participants.size === 0 && !this.moderated) this.#close();
  }

  command(participant: Participant, command: Command): void {
    switch (command) {
      case 'leave':
        return this.leave(participant, { lines: [`steno: you left session ${this.session.id}`], ok: true });
      case 'redraw':
        return participant.redraw();
      case 'help':
        return this.#help(participant);
      case 'pause':
        return this.#pause(participant);
      case 'resume':
        return this.#resume(participant);
      case 'end':
        return this.#end(participant);
      case 'hand':
        return this.#keyboard.hand(
          participant,
          [...this.#participants].filter(({ facts }) => facts.mode === 'peer'),
        );
      case 'take':
        return this.#keyboard.take(participant);
      case 'refuse':
        return this.#keyboard.refuse(participant);
      case 'prove':
        return this.#presence === null ? this.#help(participant) : this.#presence.prove(participant);
    }
  }

  /** What is no command: what a peer types, a message that is being written, or one that is said. As `type` otherwise. */
  did(participant: Participant, what: Exclude<Did, Command>, again: () => void): number {
    if ('typed' in what) return this.type(participant, what.typed, again);
    if ('said' in what) this.#say(participant, what.said);
    else if (what.draft === null) participant.redraw();
    else this.#tell(participant, `say: ${harmless(what.draft)}_`);
    return 0;
  }

  /** Input of a peer. Answers how many bytes were taken; `again` is called once more are. */
  type(participant: Participant, bytes: Buffer, again: () => void): number {
    if (!this.#keyboard.lets(participant)) return bytes.length;
    const taken = this.session.type(participant.facts.user, bytes);
    if (taken < bytes.length) this.#waiting.add(again);
    return taken;
  }

  output(bytes: Buffer): void {
    if (this.#participants.size === 0) return;
    const copy = this.#plain ? this.#asLines(bytes) : Buffer.from(bytes);
    this.#fresh.push(copy);
    this.#freshBytes += copy.length;
    this.#replay?.add(copy);
    this.#schedule();
  }

  /** While a round is under way, output is gathered for the next one. */
  #schedule(): void {
    if (this.#unsent.length > 0) return;
    if (this.#freshBytes < GATHER_BYTES) {
      this.#gathering ??= setTimeout(() => this.#distribute(), GATHER_MS);
      return;
    }
    if (this.#due) return;
    this.#due = true;
    setImmediate(() => this.#distribute());
  }

  #distribute(): void {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    this.#due = false;
    this.#offer();
    this.#unsent = [...this.#participants];
    this.#sent = 0;
    this.#sendSome();
  }

  #sendSome(): void {
    const until = Math.min(this.#sent + AT_A_TIME, this.#unsent.length);
    while (this.#sent < until) this.#unsent[this.#sent++]!.flush();
    if (this.#sent < this.#unsent.length) return void setImmediate(() => this.#sendSome());
    this.#unsent = [];
    if (this.#freshBytes > 0) this.#schedule();
  }

  resized(cols: number, rows: number): void {
    this.#replay?.add({ cols, rows });
    this.#offer();
    for (const participant of this.#participants) participant.redraw();
  }

  takeBack(): void {
    this.#keyboard.takeBack();
  }

  roomy(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const again of waiting) again();
  }

  left(reason: StenoError | null): void {
    this.#offer();
    const lines = reason === null ? [`steno: session ${this.session.id} has ended`] : explainError(reason);
    for (const participant of this.#participants) {
      participant.flush();
      participant.end(lines, reason === null);
      this.#left(participant, reason?.code ?? '');
    }
    this.#participants.clear();
    this.#close();
  }

  #offer(): void {
    const fresh = this.#fresh;
    if (fresh.length === 0) return;
    this.#fresh = [];
    this.#freshBytes = 0;
    const bytes = fresh.length === 1 ? fresh[0]! : Buffer.concat(fresh);
    for (const participant of this.#participants) participant.offer(bytes);
  }

  #frameFor(participant: Participant): void {
    this.#wanting.add(participant);
    if (this.#replay !== null || this.#timer !== undefined) return;
    this.#later(Math.max(0, this.#framedAt + FRAME_MS - this.#deps.now()));
  }

  #later(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#draw();
    }, ms);
  }

  #draw(): void {
    const size = this.#about.size();
    if (this.session.over || this.#wanting.size === 0) return;
    if (size === null) return this.#give(this.#heading());
    let history;
    try {
      history = this.session.recorder.history();
    } catch {
      // The spool's disk does not answer just now.
      return this.#later(BEHIND_MS);
    }
    this.#replay = new ScreenReplay(history, size);
    setImmediate(() => this.#step());
  }

  #step(): void {
    const replay = this.#replay;
    if (replay === null) return;
    if (!replay.step()) {
      if (replay.behind <= MAX_BEHIND) return void setImmediate(() => this.#step());
      this.#forgetReplay();
      return this.#later(BEHIND_MS);
    }
    // Who follows has what the screen shows before those who are to follow get it.
    this.#offer();
    const frame = replay.frame();
    this.#forgetReplay();
    this.#give(frame);
  }

  #give(frame: Buffer): void {
    this.#framedAt = this.#deps.now();
    const wanting = [...this.#wanting];
    this.#wanting.clear();
    for (const participant of wanting) this.#frame(participant, frame);
  }

  #frame(participant: Participant, frame: Buffer): void {
    participant.frame(frame);
    if (!participant.greeted) this.#help(participant);
    participant.greeted = true;
  }

  #help(participant: Participant): void {
    const { user, login, node } = this.#about;
    this.#tell(participant, helpOf(participant.facts.mode, printable(`${user} (${login}@${node})`, 128), participant.goesBack));
  }

  #tell(participant: Participant, words: string): void {
    participant.tell(words, this.#plain);
  }

  /** What a participant sees of a session without a terminal, before its output. */
  #heading(): Buffer {
    const { user, login, node, kind, command } = this.#about;
    const what = command === '' ? kind : `${kind}: ${command.slice(0, 1_000)}`;
    const text = `${LEAVE_MODES}\x1b[H\x1b[2J${user} as ${login} on ${node}, ${what.replace(/[^\P{C}]/gu, '?')}\r\n`;
    return Buffer.from(text);
  }

  /** Output of a command as lines that steer no terminal; what a file transfer or another protocol says is not text. */
  #asLines(bytes: Buffer): Buffer {
    return this.#about.kind === 'exec' ? terminalText(bytes.toString()) : Buffer.alloc(0);
  }

  /** Whether the demands of roles and of a lock are met by now, and what follows from it. */
  #weigh(): void {
    const present = [...this.#participants].filter((one) => this.#presence?.missing(one) !== true && !this.#silent.has(one));
    const moderator = present.find(({ facts: { mode, user } }) => mode === 'moderator' && user !== this.#about.user);
    this.session.moderatedBy(moderator === undefined ? null : printable(moderator.facts.user, 64));
    if (!this.moderated || this.session.over) return;
    const missing = unmet(this.#demands, present, this.#about);
    const { gate } = this.session;
    if (missing.length === 0) {
      clearTimeout(this.#patience);
      const start = this.#start;
      this.#start = null;
      start?.();
      if (gate.reopen('absence')) this.#deps.changed();
      return;
    }
    const awaited = printable(missing.map(demandText).join('; '), 256);
    if (awaited !== this.#awaited) this.#deps.changed();
    this.#awaited = awaited;
    if (gate.holds('absence')) return;
    if (this.#start === null) {
      const ending = missing.find(({ on_leave: then }) => then === 'terminate');
      if (ending !== undefined) return this.session.end(new StenoError('MODERATION_LOST', printable(demandText(ending), 256)));
    }
    gate.close(awaited, 'absence');
    this.#deps.changed();
    if (this.#start !== null) this.session.announce(`to join: steno join ${this.session.id} --mode ${missing[0]!.modes[0]!}`);
  }

  #proved(participant: Participant, missing: boolean): void {
    const user = printable(participant.facts.user, 64);
    this.session.notice(missing ? `${user} did not prove to be here, and counts as gone` : `${user} has proven to be here`);
    this.#audit(missing ? 'session.presence_missed' : 'session.presence_proven', participant, missing ? { outcome: 'failure' } : {});
    this.#weigh();
  }

  /** To everybody: it is shown as a line of the session, which all of them get, and stands in its recording by its author. */
  #say(participant: Participant, text: string): void {
    const words = harmless(text).trim();
    if (words === '') return;
    if (!participant.maySay(this.#deps.now())) return this.#tell(participant, 'steno: that is too much at a time; wait a little');
    const user = printable(participant.facts.user, 64);
    this.session.recorder.marker(`${user}: ${words}`);
    this.session.announce(`${user} says: ${words}`);
    if (this.#plain) for (const each of this.#participants) this.#tell(each, `steno: ${user} says: ${words}`);
    else participant.redraw();
  }

  #pause(participant: Participant): void {
    const user = printable(participant.facts.user, 64);
    if (!this.session.gate.close('', 'pause', user)) return this.#tell(participant, 'steno: this session is paused already');
    this.#audit('session.paused', participant);
  }

  #resume(participant: Participant): void {
    const user = printable(participant.facts.user, 64);
    if (!this.session.gate.reopen('pause', user)) return this.#tell(participant, 'steno: this session is not paused');
    this.#audit('session.resumed', participant);
  }

  #end(participant: Participant): void {
    const now = this.#deps.now();
    if (this.#ending?.who !== participant || now > this.#ending.at + END_MS) {
      this.#ending = { who: participant, at: now };
      return this.#tell(participant, 'steno: press t again to end this session');
    }
    const error = new StenoError('ENDED_BY_MODERATOR', printable(participant.facts.user, 64));
    this.#audit('session.ended', participant, { code: error.code });
    this.session.end(error);
  }

  #left(participant: Participant, code: string): void {
    const { user, mode, source } = participant.facts;
    this.session.recorder.participant({ action: 'left', user, mode, source_address: source });
    this.#audit('session.left', participant, code === '' ? {} : { code });
  }

  #audit(event: string, { facts }: Participant, rest: Partial<AuditEntry> = {}, data: object = {}): void {
    const { node, login, user } = this.#about;
    this.#deps.audit({
      event,
      outcome: 'success',
      session: this.session.id,
      actor: facts.user,
      source_address: facts.source,
      node,
      login,
      target: node,
      data: JSON.stringify({
        ...{ mode: facts.mode, of: user, ...data },
        ...(facts.invited == null ? {} : { invitation: facts.invited.id, invited_by: facts.invited.by }),
      }),
      ...rest,
    });
  }

  #forgetReplay(): void {
    this.#replay?.dispose();
    this.#replay = null;
  }

  #close(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#patience);
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    this.#unsent = [];
    this.#sent = 0;
    this.#presence?.close();
    this.#timer = undefined;
    this.#forgetReplay();
    this.#wanting.clear();
    this.#waiting.clear();
    this.#fresh = [];
    this.#freshBytes = 0;
    if (this.session.watcher === this) this.session.watcher = null;
    this.#deps.empty();
  }
}

/** Text of a participant on everybody's terminal: nothing that steers one, turns text around, or is not seen. */
function harmless(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').slice(0, 400);
}
