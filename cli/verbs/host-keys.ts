/** Host keys as people have them. */
/** Lines of a .pub file (`type base64 comment`) or of ssh-keyscan (`host type base64`), as `type base64`. */
export function readHostKeys(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .flatMap((line) => {
      const match = /(?:^|\s)((?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+)\s+([A-Za-z0-9+/]+={0,2})/.exec(line);
      return match === null ? [] : [`${match[1]} ${match[2]}`];
    });
}
