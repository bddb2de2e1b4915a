/**
 * The session counter of the gateway: monotonic and never reused, no matter what crashes and when.
 *
 * One fixed record in `SPOOL/counter`: `used reserved boot`. Numbers up to `reserved` were fsynced as taken, 256 at a time.
 * `used` is written for every session without fsync, so it survives a killed process but not a power cut. Within one boot,
 * counting therefore continues after `used` without a gap; after a reboot it continues after `reserved`, and the numbers in
 * between are reported as skipped, because a missing number must never look like a withheld recording. Tested in
 * counter.test.ts.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Files } from './files.js';
import { writeAll } from './files.js';

const BATCH = 256;

export interface Skipped {
  readonly from: number;
  readonly to: number;
}

export class SessionCounter {
  readonly #files: Files;
  readonly #folder: string;
  readonly #boot: string;
  #used: number;
  #reserved: number;
  #fd: number;
  /** Numbers that no session used, after a power cut. */
  readonly skipped: Skipped | null;

  /** `floor`: the highest number found in the spool itself. */
  private constructor(files: Files, folder: string, boot: string, floor: number) {
    this.#files = files;
    this.#folder = folder;
    this.#boot = boot;
    const old = readRecord(files, join(folder, 'counter'));
    const sameBoot = old !== null && boot !== '' && old.boot === boot;
    const known = Math.max(old?.used ?? 0, floor);
    this.#used = Math.max(known, sameBoot ? 0 : (old?.reserved ?? 0));
    this.skipped = this.#used > known ? { from: known + 1, to: this.#used } : null;
    this.#reserved = this.#used;
    this.#fd = -1;
  }

  static async open(files: Files, folder: string, floor: number, boot: string = bootId()): Promise<SessionCounter> {
    const counter = new SessionCounter(files, folder, boot, floor);
    await counter.#reserve();
    return counter;
  }

  /** The next number. Throws when it cannot be reserved, since it could then be issued again after a power cut. */
  async next(): Promise<number> {
    while (this.#used >= this.#reserved) await this.#reserve();
    const number = this.#used + 1;
    this.#used = number;
    this.#note();
    return number;
  }

  get used(): number {
    return this.#used;
  }

  close(): void {
    if (this.#fd >= 0) this.#files.close(this.#fd);
    this.#fd = -1;
  }

  #reserving: Promise<void> | null = null;
  #reserve(): Promise<void> {
    this.#reserving ??= this.#reserveNow().finally(() => {
      this.#reserving = null;
    });
    return this.#reserving;
  }

  /**
   * 1. a new file with the higher reservation is written and fsynced. Crash: the old file counts, and nothing of the batch
   *    was used.
   * 2. it is renamed over the old one, and the folder is fsynced. Crash before the fsync: either file may count; still
   *    nothing was used.
   */
  async #reserveNow(): Promise<void> {
    const reserved = this.#used + BATCH;
    const path = join(this.#folder, 'counter');
    const fd = this.#files.open(`${path}.new`, 'fresh');
    try {
      const record = encodeRecord(this.#used, reserved, this.#boot);
      writeAll(this.#files, fd, record, record.length);
      await this.#files.sync(fd);
      this.#files.rename(`${path}.new`, path);
      await this.#files.syncFolder(this.#folder);
    } catch (error) {
      this.#files.close(fd);
      throw error;
    }
    this.close();
    this.#fd = fd;
    this.#reserved = reserved;
  }

  /** Fixed width, rewritten in place: a killed process never leaves a write(2) this small, within one page, half done. */
  #note(): void {
    const record = encodeRecord(this.#used, this.#reserved, this.#boot);
    this.#files.writeAt(this.#fd, record, 0);
  }
}

function encodeRecord(used: number, reserved: number, boot: string): Buffer {
  return Buffer.from(`${String(used).padStart(16, '0')} ${String(reserved).padStart(16, '0')} ${boot}\n`);
}

function readRecord(files: Files, path: string): { used: number; reserved: number; boot: string } | null {
  if (files.sizeOf(path) < 0) return null;
  const match = /^(\d{16}) (\d{16}) ([0-9a-f-]*)\n$/.exec(files.readWhole(path).toString('latin1'));
  return match === null ? null : { used: Number(match[1]), reserved: Number(match[2]), boot: match[3]! };
}

/** Distinguishes one boot of the machine from the next; empty where the system does not say. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}
