/**
 * An element that holds a style sheet, for xterm.js: the page's policy (viewer/api/http/guard.ts) forbids inline `<style>`, but not
 * style sheets that scripts construct (CSSOM). The build replaces `style` with `steno-style` in xterm.js (vite.config.ts).
 */
class StyleElement extends HTMLElement {
  readonly #sheet = new CSSStyleSheet();

  connectedCallback(): void {
    document.adoptedStyleSheets.push(this.#sheet);
  }

  disconnectedCallback(): void {
    const at = document.adoptedStyleSheets.indexOf(this.#sheet);
    if (at >= 0) document.adoptedStyleSheets.splice(at, 1);
  }

  override get textContent(): string {
    return '';
  }

  override set textContent(text: string) {
    this.#sheet.replaceSync(text);
  }
}

if (customElements.get('steno-style') === undefined) customElements.define('steno-style', StyleElement);
