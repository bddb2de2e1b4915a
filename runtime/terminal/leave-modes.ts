/** Leaves the alternate screen, and every mode that a program may have set, without clearing the participant's scrollback. */
export const LEAVE_MODES = '\x1b[?1049l\x1b[!p\x1b[?1;9;1000;1002;1003;1004;1005;1006;1015;2004l\x1b[?7;25h\x1b>\x1b(B\x0f\x1b[r\x1b[0m';
