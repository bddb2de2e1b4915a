/**
 * All participants of one live session: sends them the session's output, and passes on the input that may reach the session.
 *
 * Participants never slow the session. Its output is copied once, gathered for `GATHER_MS`, and sent after the session's user has it, to
 * `AT_A_TIME` participants per turn of the event loop, so that no keystroke at this gateway waits for all of them. A participant that does
 * not read falls behind alone (participant.ts). The input of observers and moderators, and the size of every participant's terminal, end
 * here; participants see only the part of the session that `LiveSession` shows. Limits: `MAX_PARTICIPANTS`; a peer's unread input is
 * bounded by the protocol's window. Tested in audience.test.ts, and with stock clients in ../ssh/server/joined.test.ts.
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
import { LEAVE_MODES } from '#runtime/terminal/leave-modes.js';
import { ScreenReplay } from './screen-replay.js';

const MAX_PARTICIPANTS = 1_024;
/** Gives an echo time to reach the session's user before the gateway is busy sending it to others. */
const GATHER_MS = 2;
/** Output of this size or more is sent in the next turn of the event loop: a flood is not gathered. */
const GATHER_BYTES = 16 * 1024;
/** The number of slabs that edge/outbox.ts keeps: a larger batch would allocate memory for each further participant. */
const AT_A_TIME = 16;
/** Minimum time between two screens, in ms: limits the cost of a participant who keeps falling behind. */
const FRAME_MS = 100;
/** A session that prints faster than its screen can be drawn: drawing is abandoned at this many bytes and tried again later. */
const MAX_BEHIND = 4 << 20;
const BEHIND_MS = 500;
/** The key that ends a session has to be pressed twice within this many ms. */
const END_MS = 3_000;

export interface AudienceDeps {
  readonly audit: (entry: AuditEntry) => void;
  /** Monotonic ms. */
  readonly now: () => number;
  /** ms since 1970. */
  readonly clock: () => number;
  /** The participants, or the participants the session waits for, have changed. */
  readonly changed: () => void;
  /** The last participant has left, or the session is over. */
  readonly empty: () => void;
}

export class Audience implements SessionWatcher {
  readonly session: LiveSession;
  readonly #about: SessionAbout;
  readonly #deps: AudienceDeps;
  readonly #participants = new Set<Participant>();
  /** Output shown to the user and not yet offered to the participants. */
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
  /** Callbacks of peers whose input waits for room. */
  readonly #waiting = new Set<() => void>();
  #demands: readonly Moderation[] = [];
  /** Starts the session; null once it has started, or if it never had to wait. */
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

  /** A role of the session's user demands participants. */
  get moderated(): boolean {
    return this.#demands.length > 0;
  }

  /** The participants that the session waits for, as printable text; empty: none. */
  get awaited(): string {
    return this.session.gate.holds('absence') ? this.#awaited : '';
  }

  /** Keeps the session from starting until the demands are met, and freezes it whenever they are not. */
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

  /** Updates the roles of a participant. */
  changed(participant: Participant, roles: readonly string[]): void {
    participant.facts = { ...participant.facts, roles };
    if (this.#participants.has(participant)) this.#weigh();
  }

  /** The participant's client has stopped answering, or answers again. A silent participant counts as gone. */
  silent(participant: Participant, is: boolean): void {
    if (!this.#participants.has(participant) || this.#silent.has(participant) === is) return;
    if (is) this.#silent.add(participant);
    else this.#silent.delete(participant);
    const { mode, user } = participant.facts;
    // No demand depends on this participant, so nobody is told.
    if (!this.moderated && mode !== 'moderator') return;
    const name = printable(user, 64);
    this.session.notice(is ? `nothing is heard of ${name}, who counts as gone until they are back` : `${name} is back`);
    this.#audit(is ? 'session.participant_lost' : 'session.participant_back', participant);
    this.#weigh();
  }

  get participants(): ReadonlySet<Participant> {
    return this.#participants;
  }

  /** Throws PARTICIPANTS_TOO_MANY, and SESSION_INVITATION_USED: an invitation admits its user once. */
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
    // Before any output of the session, and before a session that waited for this participant starts.
    if (this.#plain) this.#frame(participant, this.#heading());
    else participant.flush();
    this.#weigh();
    return participant;
  }

  /** `why`: the text for the participant; null: they are already gone. May be called again. */
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

  /** Handles everything that is not a command: a peer's typing, a draft message, or a finished message. Otherwise like `type`. */
  did(participant: Participant, what: Exclude<Did, Command>, again: () => void): number {
    if ('typed' in what) return this.type(participant, what.typed, again);
    if ('said' in what) this.#say(participant, what.said);
    else if (what.draft === null) participant.redraw();
    else this.#tell(participant, `say: ${harmless(what.draft)}_`);
    return 0;
  }

  /** Input of a peer. Returns how many bytes were taken; `again` is called once there is room for more. */
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
      // The spool's disk does not answer at the moment.
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
    // Participants that already follow get all pending output before the new screen is given to the others.
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

  /** The heading that a participant sees above the output of a session without a terminal. */
  #heading(): Buffer {
    const { user, login, node, kind, command } = this.#about;
    const what = command === '' ? kind : `${kind}: ${command.slice(0, 1_000)}`;
    const text = `${LEAVE_MODES}\x1b[H\x1b[2J${user} as ${login} on ${node}, ${what.replace(/[^\P{C}]/gu, '?')}\r\n`;
    return Buffer.from(text);
  }

  /** Output of a command as lines without control sequences; a file transfer or another protocol is not text and yields nothing. */
  #asLines(bytes: Buffer): Buffer {
    return this.#about.kind === 'exec' ? terminalText(bytes.toString()) : Buffer.alloc(0);
  }

  /** Checks whether the demands of roles and of a lock are met, and acts on the result. */
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

  /**
   * Says something to everybody: a line in the session's output, which all participants get, and a marker with its author in the recording.
   */
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

/** A participant's text, safe on every terminal: without control, bidirectional or invisible characters. */
function harmless(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').slice(0, 400);
}
