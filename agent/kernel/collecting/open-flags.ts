/** Flags for opening files that the user of a session controls: an open must have no side effect, not block, and not follow links. */
import { constants } from 'node:fs';

/** include/uapi/asm-generic/fcntl.h: a descriptor that refers to the file without opening it. Node does not define it. */
export const O_PATH = 0o10_000_000;
const { O_NOFOLLOW, O_NONBLOCK, O_NOCTTY, O_RDONLY } = constants;

/** Opens the file at a path itself, without following links. */
export const PLACE = O_PATH | O_NOFOLLOW;
/** Opens for reading, without waiting for a writer and without acquiring a terminal. */
export const CONTENT = O_RDONLY | O_NONBLOCK | O_NOCTTY;
