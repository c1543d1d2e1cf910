/**
 * Cameras, microphones and loudspeakers: which there are, and opening them. It says why a device cannot be had by a word;
 * `roomwords.js` has the sentences.
 */

/** @typedef {"microphone" | "camera" | "screen"} Device */

/**
 * @typedef {"insecure" | "unsupported" | "refused" | "missing" | "busy" | "gone" | "failed"} Trouble
 * Why a device cannot be had.
 */

/**
 * @typedef {object} Choice
 * @property {string} id
 * @property {string} label empty until the person has allowed one device
 */

/**
 * @typedef {object} Choices
 * @property {Choice[]} microphones
 * @property {Choice[]} cameras
 * @property {Choice[]} speakers
 */

/**
 * @typedef {object} Surroundings Replaced in tests.
 * @property {MediaDevices | undefined} media undefined where the browser hides them
 * @property {boolean} secure
 */

/** Enough for one other; the budget makes it smaller for more. */
const PICTURE = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
const SCREEN = { frameRate: { max: 15 } };

/** @returns {Surroundings} */
const browser = () => ({ media: navigator.mediaDevices, secure: isSecureContext });

/**
 * @param {unknown} error what getUserMedia threw
 * @returns {Trouble}
 */
export function troubleOf(error) {
  switch (error instanceof Error ? error.name : "") {
    case "NotAllowedError":
    case "SecurityError":
    case "PermissionDeniedError":
      return "refused";
    case "NotFoundError":
    case "OverconstrainedError":
    case "DevicesNotFoundError":
      return "missing";
    case "NotReadableError":
    case "AbortError":
    case "TrackStartError":
      return "busy";
    case "NotSupportedError":
    case "TypeError":
      return "unsupported";
    default:
      return "failed";
  }
}

/**
 * What the browser shall do with the sound of the microphone.
 * @param {string | null} id
 * @param {boolean} music
 * @returns {MediaTrackConstraints}
 */
export function soundConstraints(id, music) {
  const device = id === null ? {} : { deviceId: { exact: id } };
  const speech = !music;
  return {
    ...device,
    echoCancellation: speech,
    noiseSuppression: speech,
    autoGainControl: speech,
    ...(music ? { channelCount: { ideal: 2 }, sampleRate: { ideal: 48_000 } } : {}),
  };
}

/**
 * @param {string | null} id
 * @returns {MediaTrackConstraints}
 */
export function pictureConstraints(id) {
  return { ...PICTURE, ...(id === null ? { facingMode: "user" } : { deviceId: { exact: id } }) };
}

export class Devices {
  #around;

  /** @param {() => Surroundings} around */
  constructor(around = browser) {
    this.#around = around;
  }

  /** Why no device at all can be had here, or null. @returns {Trouble | null} */
  get barrier() {
    const { media, secure } = this.#around();
    if (typeof media?.getUserMedia === "function") return null;
    return secure ? "unsupported" : "insecure";
  }

  get canShare() {
    return typeof this.#around().media?.getDisplayMedia === "function";
  }

  /** @returns {Promise<Choices>} */
  async list() {
    const all = await this.#around().media?.enumerateDevices?.().catch(() => []) ?? [];
    /** @param {MediaDeviceKind} kind */
    const of = (kind) => all
      .filter((each) => each.kind === kind && each.deviceId !== "")
      .map((each) => ({ id: each.deviceId, label: each.label }));
    return { microphones: of("audioinput"), cameras: of("videoinput"), speakers: of("audiooutput") };
  }

  /** @param {() => void} run called when a device was plugged in or out */
  onChange(run) {
    this.#around().media?.addEventListener?.("devicechange", run);
  }

  /**
   * Opens a device. One that was chosen once and is not there any more gives way to any other.
   * @param {"microphone" | "camera"} device
   * @param {string | null} id
   * @param {boolean} music
   * @returns {Promise<MediaStreamTrack>}
   */
  async open(device, id, music) {
    try {
      return (await this.#tracks(device, id, music))[0];
    } catch (error) {
      if (id === null || troubleOf(error) !== "missing") throw error;
      return (await this.#tracks(device, null, music))[0];
    }
  }

  /**
   * Opens both with one question to the person.
   * @param {string | null} microphone
   * @param {string | null} camera
   * @param {boolean} music
   * @returns {Promise<MediaStreamTrack[]>}
   */
  async openBoth(microphone, camera, music) {
    const media = this.#media();
    const stream = await media.getUserMedia({
      audio: soundConstraints(microphone, music),
      video: pictureConstraints(camera),
    });
    return stream.getTracks();
  }

  /**
   * The screen, a window or a tab, with sound where the browser can.
   * @returns {Promise<MediaStreamTrack[]>}
   */
  async openScreen() {
    const stream = await this.#media().getDisplayMedia({
      video: SCREEN,
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
    return stream.getTracks();
  }

  /**
   * @param {"microphone" | "camera"} device
   * @param {string | null} id
   * @param {boolean} music
   */
  async #tracks(device, id, music) {
    const wanted = device === "microphone" ? { audio: soundConstraints(id, music) } : { video: pictureConstraints(id) };
    return (await this.#media().getUserMedia(wanted)).getTracks();
  }

  #media() {
    const { media } = this.#around();
    if (media === undefined) throw new DOMException("no devices here", "NotSupportedError");
    return media;
  }
}
