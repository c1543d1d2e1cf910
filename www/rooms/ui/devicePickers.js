/**
 * The lists of cameras, microphones and loudspeakers, wherever the page shows them. A page module: all lists of one device
 * show the same, and follow what is plugged in and out.
 */

/** @typedef {"camera" | "microphone" | "speaker"} Picked */

export class Pickers {
  #devices;
  #current;
  /** @type {Record<Picked, HTMLSelectElement[]>} */
  #lists = { camera: [], microphone: [], speaker: [] };

  /**
   * @param {import("../media/devices.js").Devices} devices
   * @param {(device: Picked) => string | null} current what is in use
   * @param {(device: Picked, id: string) => void} onPick
   */
  constructor(devices, current, onPick) {
    this.#devices = devices;
    this.#current = current;
    for (const list of document.querySelectorAll("select")) {
      const device = /** @type {Picked} */ (list.dataset.device);
      this.#lists[device].push(list);
      list.addEventListener("change", () => onPick(device, list.value));
    }
    const canChoose = "setSinkId" in HTMLMediaElement.prototype;
    for (const field of document.querySelectorAll("[data-speaker]")) /** @type {HTMLElement} */ (field).hidden = !canChoose;
    devices.onChange(() => void this.refresh());
  }

  async refresh() {
    const { cameras, microphones, speakers } = await this.#devices.list();
    this.#fill("camera", cameras, "No camera");
    this.#fill("microphone", microphones, "No microphone");
    this.#fill("speaker", speakers, "The system’s choice");
  }

  /**
   * @param {Picked} device
   * @param {import("../media/devices.js").Choice[]} choices
   * @param {string} none
   */
  #fill(device, choices, none) {
    const current = this.#current(device);
    const name = device[0].toUpperCase() + device.slice(1);
    const wanted = choices.map(({ id, label }, at) => ({ id, label: label || `${name} ${at + 1}` }));
    if (wanted.length === 0) wanted.push({ id: "", label: none });
    for (const list of this.#lists[device]) {
      const shown = [...list.options].map(({ value, text }) => ({ id: value, label: text }));
      // A list that is open must not be pulled from under the finger when nothing has changed.
      if (JSON.stringify(shown) !== JSON.stringify(wanted)) {
        list.replaceChildren(...wanted.map(({ id, label }) => new Option(label, id)));
      }
      if (current !== null && wanted.some(({ id }) => id === current)) list.value = current;
      list.disabled = choices.length === 0;
    }
  }
}
