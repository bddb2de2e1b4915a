/**
 * Decides which typed input may be stored: only input that the terminal echoed. An aid, not a security boundary.
 *
 * Printable input is held until the same characters come back as output, and is then released. The run is hidden instead if
 * a newline or any other output comes first, if nothing is echoed for one second, or if the output line looks like a
 * password prompt: the rest of the typed line is dropped and replaced by a single gap, which reveals neither the length nor
 * the timing of the keys. Control characters are released in order.
 *
 *     quiet ──printable──► waiting ──all echoed──► quiet
 *       │                     │ newline, mismatch, 1 s, prompt, too much
 *       └──prompt on line──► hidden ──typed newline, ^C, ^D──► quiet
 *                              (ESC too, unless a prompt was seen)
 *
 * Limits: a password that a program prints is output and is kept. A single password character is released if the prompt was
 * not recognized and the next printed character happens to equal it. Input to programs that redraw instead of echoing is
 * lost here, although the screen shows it. Tested in echo.test.ts, with real programs in echo-pty.test.ts.
 */
export type Released =
  /** Echoed text, or (`echoed` false) control characters. */
  | { readonly kind: 'bytes'; readonly bytes: Buffer; readonly echoed: boolean }
  /** The input that follows is hidden, up to the next `bytes`. */
  | { readonly kind: 'gap' }
  /** Must not be stored as it is (see typed.ts). `prompt`: a prompt was seen, so these bytes belong to a secret. */
  | { readonly kind: 'hidden'; readonly bytes: Buffer; readonly prompt: boolean };

export const ECHO_MS = 1_000;
const MAX_WAITING = 16_384;
/** Bytes of the current output line that are searched for a prompt, escape sequences included. */
const LINE_BYTES = 240;

const promptPattern = new RegExp(
  '(?:pass ?(?:word|phrase|code)|passwd|\\bpin\\b|secret|token|\\botp\\b|one[- ]time|(?:verification|security|authenticat\\w*|access|2fa|mfa) ?code|api[ -]?key|private key|' +
    'contraseña|clave|mot de passe|passwort|kennwort|geheim|wachtwoord|senha|palavra-passe|parola|hasło|heslo|jelszó|lösenord|adgangskode|passord|salasana|şifre|parool|' +
    'пароль|пароля|κωδικ|סיסמ|كلمة (?:السر|المرور)|पासवर्ड|รหัสผ่าน|mật khẩu|kata sandi|密码|密碼|口令|パスワード|暗証番号|비밀번호|암호)' +
    '[^\\n]{0,160}?[:：?]\\s*$|(?:pass ?(?:word|phrase|code)|密码|密碼|パスワード|비밀번호|пароль)\\s*$',
  'iu',
);
const sequencePattern =
  /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])|[\x00-\x08\x0e-\x1f\x7f]/g;

/** Whether the end of an output line asks for a secret. */
export function looksLikeSecretPrompt(line: string): boolean {
  const text = line.replace(sequencePattern, '').trimEnd();
  return mayEndPrompt(text.charCodeAt(text.length - 1)) && promptPattern.test(text);
}

/**
 * Cheap pre-check: a prompt ends in a colon, a question mark, "word", "phrase", "code" or a non-Latin script. Most keys skip
 * the pattern.
 */
function mayEndPrompt(code: number): boolean {
  return code === 0x3a || code === 0x3f || (code | 0x20) === 0x64 || (code | 0x20) === 0x65 || code > 0x7f;
}

const ESC = 0x1b;
/**
 * State of an escape sequence: 0 text, 1 after ESC, 2 in a CSI sequence, 3 in a string, 4 ESC within a string, 5 one byte
 * left.
 */
type Escape = 0 | 1 | 2 | 3 | 4 | 5;

function escapeAfter(state: Escape, byte: number, typed: boolean): Escape {
  switch (state) {
    case 0:
      return byte === ESC ? 1 : 0;
    case 1:
      if (byte === 0x5b) return 2;
      if (typed) return byte === 0x4f ? 5 : 0;
      if (byte === 0x5d || byte === 0x50 || byte === 0x58 || byte === 0x5e || byte === 0x5f) return 3;
      return byte >= 0x20 && byte <= 0x2f ? 5 : 0;
    case 2:
      return byte >= 0x40 && byte <= 0x7e ? 0 : 2;
    case 3:
      return byte === 0x07 ? 0 : byte === ESC ? 4 : 3;
    case 4:
      return 0;
    case 5:
      return 0;
  }
}

const isPrintable = (byte: number): boolean => byte >= 0x20 && byte !== 0x7f;

interface Piece {
  readonly printable: boolean;
  readonly bytes: Buffer;
}

export class EchoGuard {
  /** The end of the current output line, latin1. */
  #line = '';
  /** Whether `#line` changed since it was last matched against the prompt pattern. */
  #lineChanged = false;
  #prompt = false;
  #typedEscape: Escape = 0;
  #shownEscape: Escape = 0;
  #waiting: Piece[] | null = null;
  /** Bytes in `#waiting`. */
  #waitingBytes = 0;
  /** Bytes of the first waiting piece that have been echoed. */
  #matched = 0;
  /** Redrawn characters still to skip: as many as the cursor moved back. */
  #back = 0;
  #since = 0;
  /** Value of `#matched` when the user last typed. */
  #seen = 0;
  #hidden: 'no' | 'run' | 'prompt' = 'no';

  /** Monotonic ms at which `expire` has work to do; Infinity if never. */
  get dueAt(): number {
    return this.#waiting === null ? Infinity : this.#since + ECHO_MS;
  }

  /** Whether input is waiting for its echo. */
  get waits(): boolean {
    return this.#waiting !== null;
  }

  /** Bytes of input that wait for their echo. */
  get waitingBytes(): number {
    return this.#waiting === null ? 0 : this.#waiting.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** Takes input from the user; returns the input that may be stored now. */
  typed(bytes: Buffer, now: number): Released[] {
    const out: Released[] = [];
    for (let i = 0; i < bytes.length;) {
      const start = i;
      const wasPrintable = this.#typedIsPrintable(bytes[i]!);
      this.#typedEscape = escapeAfter(this.#typedEscape, bytes[i]!, true);
      i += 1;
      // Split into runs of one kind. A newline or ^C ends a hidden run, so it stands alone.
      while (i < bytes.length && !endsRun(bytes[i - 1]!) && !endsRun(bytes[i]!) && this.#typedIsPrintable(bytes[i]!) === wasPrintable) {
        this.#typedEscape = escapeAfter(this.#typedEscape, bytes[i]!, true);
        i += 1;
      }
      const piece = bytes.subarray(start, i);
      if (wasPrintable) this.#typedText(piece, now, out);
      else this.#typedControl(piece, out);
    }
    return out;
  }

  /** Takes output to the user, before or after it is shown; returns the input that it proves was echoed, or gaps. */
  shown(bytes: Buffer): Released[] {
    const newline = bytes.lastIndexOf(0x0a);
    const tail = bytes.toString('latin1', Math.max(newline + 1, bytes.length - LINE_BYTES));
    this.#line = newline >= 0 || tail.length === LINE_BYTES ? tail : (this.#line + tail).slice(-LINE_BYTES);
    this.#lineChanged = true;
    if (this.#waiting === null) return nothing;
    const out: Released[] = [];
    if (this.#atPrompt()) {
      this.#hide('prompt', out);
      return out;
    }
    for (let i = 0; i < bytes.length && this.#waiting !== null; i++) this.#match(bytes[i]!, out);
    return out;
  }

  /** Stops waiting for an echo after `ECHO_MS`. */
  expire(now: number): Released[] {
    const out: Released[] = [];
    if (this.#waiting !== null && now >= this.dueAt) this.#hide('run', out);
    return out;
  }

  /** Ends the session: input still waiting was not echoed. */
  end(): Released[] {
    const out: Released[] = [];
    if (this.#waiting !== null) this.#hide('run', out);
    return out;
  }

  #typedIsPrintable(byte: number): boolean {
    return this.#typedEscape === 0 && isPrintable(byte);
  }

  #typedText(piece: Buffer, now: number, out: Released[]): void {
    if (this.#hidden !== 'no') {
      if (this.#hidden === 'run' && this.#lineChanged && this.#atPrompt()) this.#hidden = 'prompt';
      out.push({ kind: 'hidden', bytes: Buffer.from(piece), prompt: this.#hidden === 'prompt' });
      return;
    }
    if (this.#waiting === null) {
      this.#since = now;
      this.#matched = this.#seen = 0;
      this.#back = 0;
      this.#shownEscape = 0;
      this.#waiting = [];
      this.#waitingBytes = 0;
    }
    this.#waitingBytes += piece.length;
    const last = this.#waiting.at(-1);
    if (last?.printable === true) {
      // Merge into one run that is released as a whole: a prompt that begins like the password must not release its first
      // letters.
      this.#waiting[this.#waiting.length - 1] = { printable: true, bytes: Buffer.concat([last.bytes, piece]) };
      // Some echo has arrived since the last key, so the connection is merely slow: restart the wait.
      if (this.#matched > this.#seen) this.#since = now;
      this.#seen = this.#matched;
    } else this.#waiting.push({ printable: true, bytes: Buffer.from(piece) });
    if (this.#atPrompt()) this.#hide('prompt', out);
    else if (this.#waitingBytes > MAX_WAITING) this.#hide('run', out);
  }

  #typedControl(piece: Buffer, out: Released[]): void {
    const bytes = Buffer.from(piece);
    if (this.#hidden !== 'no') {
      const ends = endsRun(piece[0]!) || (this.#hidden === 'run' && piece[0] === ESC);
      if (!ends) {
        out.push({ kind: 'hidden', bytes, prompt: this.#hidden === 'prompt' });
        return;
      }
      this.#hidden = 'no';
    }
    if (this.#waiting === null) out.push({ kind: 'bytes', bytes, echoed: false });
    else {
      this.#waiting.push({ printable: false, bytes });
      this.#waitingBytes += bytes.length;
    }
  }

  #match(byte: number, out: Released[]): void {
    const before = this.#shownEscape;
    this.#shownEscape = escapeAfter(before, byte, false);
    if (before !== 0 || this.#shownEscape !== 0) return;
    if (byte === 0x0a) {
      this.#hide('run', out);
      return;
    }
    if (byte === 0x08) this.#back += 1;
    if (!isPrintable(byte)) return;
    const first = this.#waiting![0]!;
    if (first.bytes[this.#matched] === byte && this.#back === 0) {
      this.#matched += 1;
      if (this.#matched === first.bytes.length) this.#releaseFirst(out);
      return;
    }
    // Skip characters that a line editor redraws.
    if (this.#back > 0) this.#back -= 1;
    else this.#hide('run', out);
  }

  /** The first piece was echoed in full: release it and the control characters that follow it. */
  #releaseFirst(out: Released[]): void {
    const waiting = this.#waiting!;
    this.#matched = this.#seen = 0;
    out.push({ kind: 'bytes', bytes: waiting.shift()!.bytes, echoed: true });
    while (waiting.length > 0 && !waiting[0]!.printable) out.push({ kind: 'bytes', bytes: waiting.shift()!.bytes, echoed: false });
    this.#waitingBytes = waiting.reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (waiting.length === 0) this.#waiting = null;
  }

  /** Drops the waiting run up to the newline that ends it. Input typed after that newline stops waiting too. */
  #hide(how: 'run' | 'prompt', out: Released[]): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    this.#matched = 0;
    out.push({ kind: 'gap' });
    this.#hidden = how;
    for (const { printable, bytes } of waiting) {
      if (!printable && (endsRun(bytes[0]!) || this.#hidden === 'no')) {
        this.#hidden = 'no';
        out.push({ kind: 'bytes', bytes, echoed: false });
        continue;
      }
      if (this.#hidden === 'no') out.push({ kind: 'gap' });
      this.#hidden = how;
      out.push({ kind: 'hidden', bytes, prompt: how === 'prompt' });
    }
  }

  /** Called for every key, so the match is cached per line. */
  #atPrompt(): boolean {
    if (this.#lineChanged) {
      this.#lineChanged = false;
      this.#prompt = this.#line !== '' && looksLikeSecretPrompt(Buffer.from(this.#line, 'latin1').toString('utf8'));
    }
    return this.#prompt;
  }
}

const nothing: Released[] = [];

function endsRun(byte: number): boolean {
  return byte === 0x0d || byte === 0x0a || byte === 0x03 || byte === 0x04;
}
