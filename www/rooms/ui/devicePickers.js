/**
 * The lists of cameras, microphones and speakers. All lists of one kind show the same devices, and follow what is plugged
 * in and out.
 */

import { allMatching, allSelects } from "../../shared/dom.js";

/** @typedef {"camera" | "microphone" | "speaker"} PickedDevice */

export class DevicePickers {
  #devices;
  #currentId;
  /** @type {Record<PickedDevice, HTMLSelectElement[]>} */
  #lists = { camera: [], microphone: [], speaker: [] };

  /**
   * @param {import("../media/devices.js").Devices} devices
   * @param {(device: PickedDevice) => string | null} currentId of the device in use
   * @param {(device: PickedDevice, id: string) => void} onPick
   */
  constructor(devices, currentId, onPick) {
    this.#devices = devices;
    this.#currentId = currentId;
    for (const list of allSelects()) {
      const device = /** @type {PickedDevice} */ (list.dataset.device);
      this.#lists[device].push(list);
      list.addEventListener("change", () => onPick(device, list.value));
    }
    const canSelectSpeaker = "setSinkId" in HTMLMediaElement.prototype;
    for (const field of allMatching("[data-speaker]")) field.hidden = !canSelectSpeaker;
    devices.onChange(() => void this.refresh());
  }

  async refresh() {
    const { cameras, microphones, speakers } = await this.#devices.list();
    this.#fill("camera", cameras, "No camera");
    this.#fill("microphone", microphones, "No microphone");
    this.#fill("speaker", speakers, "System default");
  }

  /**
   * @param {PickedDevice} device
   * @param {import("../media/devices.js").DeviceInfo[]} devices
   * @param {string} emptyLabel
   */
  #fill(device, devices, emptyLabel) {
    const currentId = this.#currentId(device);
    const kind = device[0].toUpperCase() + device.slice(1);
    const wanted = devices.map(({ id, label }, index) => ({ id, label: label || `${kind} ${index + 1}` }));
    if (wanted.length === 0) wanted.push({ id: "", label: emptyLabel });
    for (const list of this.#lists[device]) {
      const shown = [...list.options].map(({ value, text }) => ({ id: value, label: text }));
      // Replacing the options closes an open list, so they are replaced only if they changed.
      if (JSON.stringify(shown) !== JSON.stringify(wanted)) {
        list.replaceChildren(...wanted.map(({ id, label }) => new Option(label, id)));
      }
      if (currentId !== null && wanted.some(({ id }) => id === currentId)) list.value = currentId;
      list.disabled = devices.length === 0;
    }
  }
}
