/**
 * The command that a line of a screen shows behind a prompt. A guess from the usual forms of prompts (`ann@web-3:~$ `, `[ann@web-3 ~]#
 * `, `$ `, `bash-5.2$ `): an aid if there are no kernel events, not a boundary. Tested in typed-line.test.ts.
 */

const MAX_LINE = 8_192;

const prompt = new RegExp(
  '^\\s*(?:\\([\\w.-]{1,64}\\)\\s*)?' + // a virtual environment
    '(?:' +
    '[\\w.-]{1,64}@[\\w.-]{1,64}(?::| )[^$#%>❯\\n]{0,256}?\\s?[$#%]' + // user@host:path$
    '|\\[[^\\]\\n]{1,128}\\]\\s?[$#%]' + // [user@host path]$
    '|(?:ba|z|k|da|a)?sh-[\\d.]{1,8}[$#]' + // bash-5.2$
    '|[~/][^\\s$#%❯]{0,128}\\s?[$#%❯]' + // /path #
    '|[$#❯➜]' +
    ')\\s+(\\S[^\\n]*)$',
);

/** Undefined: there is no prompt, or nothing after it. */
export function typedCommand(text: string): string | undefined {
  if (text.length > MAX_LINE) return undefined;
  const command = prompt.exec(text)?.[1]?.trimEnd();
  return command === undefined || command === '' ? undefined : command;
}
