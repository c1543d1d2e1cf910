/**
 * Cameras, microphones and speakers: lists them and opens them (Media Capture and Streams, Screen Capture). Failures are
 * reported as a `DeviceProblem`; `deviceStrings.js` has the sentences.
 */

/** @typedef {"microphone" | "camera" | "screen"} Device */

/**
 * @typedef {"insecure" | "unsupported" | "denied" | "not-found" | "busy" | "unplugged" | "interrupted" | "failed"} DeviceProblem
 * Why a device cannot be used.
 */

/**
 * @typedef {object} DeviceInfo
 * @property {string} id
 * @property {string} label empty until the user has allowed one device
 */

/**
 * @typedef {object} DeviceList
 * @property {DeviceInfo[]} microphones
 * @property {DeviceInfo[]} cameras
 * @property {DeviceInfo[]} speakers
 */

/**
 * @typedef {object} Platform Replaced in tests.
 * @property {MediaDevices | undefined} mediaDevices undefined in pages that are not secure
 * @property {boolean} secure
 */

/** Enough for one peer. `sendLimits.js` reduces it for more. */
const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
const SCREEN = { frameRate: { max: 15 } };

/** @returns {Platform} */
const browserPlatform = () => ({ mediaDevices: navigator.mediaDevices, secure: isSecureContext });

/**
 * @param {unknown} error from getUserMedia or getDisplayMedia
 * @returns {DeviceProblem}
 */
export function problemOf(error) {
  switch (error instanceof Error ? error.name : "") {
    case "NotAllowedError":
    case "SecurityError":
    case "PermissionDeniedError":
      return "denied";
    case "NotFoundError":
    case "OverconstrainedError":
    case "DevicesNotFoundError":
      return "not-found";
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
 * @param {string | null} id null for the default device
 * @param {boolean} music no processing that is made for speech
 * @returns {MediaTrackConstraints}
 */
export function microphoneConstraints(id, music) {
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
 * @param {string | null} id null for the default device
 * @returns {MediaTrackConstraints}
 */
export function cameraConstraints(id) {
  return { ...CAMERA, ...(id === null ? { facingMode: "user" } : { deviceId: { exact: id } }) };
}

/**
 * Whether the user has allowed microphone or camera: a request for both fails if one of them is denied.
 * @returns {Promise<boolean>}
 */
export async function anyPermissionGranted() {
  return (await isGranted("microphone")) || isGranted("camera");
}

/** @param {"microphone" | "camera"} name */
async function isGranted(name) {
  try {
    const { state } = await navigator.permissions.query({ name: /** @type {PermissionName} */ (name) });
    return state === "granted";
  } catch {
    // The browser does not support this query.
    return false;
  }
}

export class Devices {
  #platform;

  /** @param {() => Platform} platform */
  constructor(platform = browserPlatform) {
    this.#platform = platform;
  }

  /** Why no device at all can be used on this page, or null. @returns {DeviceProblem | null} */
  get unavailable() {
    const { mediaDevices, secure } = this.#platform();
    if (typeof mediaDevices?.getUserMedia === "function") return null;
    return secure ? "unsupported" : "insecure";
  }

  get canShareScreen() {
    return typeof this.#platform().mediaDevices?.getDisplayMedia === "function";
  }

  /** @returns {Promise<DeviceList>} */
  async list() {
    const devices = await this.#platform().mediaDevices?.enumerateDevices?.().catch(() => []) ?? [];
    /** @param {MediaDeviceKind} kind */
    const ofKind = (kind) => devices
      .filter((device) => device.kind === kind && device.deviceId !== "")
      .map((device) => ({ id: device.deviceId, label: device.label }));
    return { microphones: ofKind("audioinput"), cameras: ofKind("videoinput"), speakers: ofKind("audiooutput") };
  }

  /**
   * What the system's default microphone is, to be compared with what it was.
   * @returns {Promise<string | null>} null where the browser does not tell, or would ask for permission again
   */
  async defaultMicrophone() {
    const devices = await this.#platform().mediaDevices?.enumerateDevices?.().catch(() => []) ?? [];
    const [first, ...others] = devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId !== "");
    if (first === undefined) return null;
    // Chromium has an entry for whatever is the default. Others have the default first (Media Capture and Streams, section 9.2).
    const entry = [first, ...others].find(({ deviceId }) => deviceId === "default");
    if (entry !== undefined) return `${entry.groupId} ${entry.label}`;
    return (await isGranted("microphone")) ? first.deviceId : null;
  }

  /** @param {() => void} callback a device was plugged in or out, or another one is the default */
  onChange(callback) {
    this.#platform().mediaDevices?.addEventListener?.("devicechange", callback);
  }

  /**
   * Opens a device. If a device chosen earlier does not exist any more, the default one is opened.
   * @param {"microphone" | "camera"} device
   * @param {string | null} id null for the default device
   * @param {boolean} music
   * @returns {Promise<MediaStreamTrack>}
   */
  async open(device, id, music) {
    try {
      return await this.#openTrack(device, id, music);
    } catch (error) {
      if (id === null || problemOf(error) !== "not-found") throw error;
      return this.#openTrack(device, null, music);
    }
  }

  /**
   * Opens microphone and camera with one permission prompt.
   * @param {string | null} microphoneId
   * @param {string | null} cameraId
   * @param {boolean} music
   * @returns {Promise<MediaStreamTrack[]>}
   */
  async openBoth(microphoneId, cameraId, music) {
    const stream = await this.#mediaDevices().getUserMedia({
      audio: microphoneConstraints(microphoneId, music),
      video: cameraConstraints(cameraId),
    });
    return stream.getTracks();
  }

  /**
   * Opens a screen, a window or a tab, with its audio if the browser supports that.
   * @returns {Promise<MediaStreamTrack[]>}
   */
  async openScreen() {
    const stream = await this.#mediaDevices().getDisplayMedia({
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
  async #openTrack(device, id, music) {
    const constraints = device === "microphone" ? { audio: microphoneConstraints(id, music) } : { video: cameraConstraints(id) };
    return (await this.#mediaDevices().getUserMedia(constraints)).getTracks()[0];
  }

  #mediaDevices() {
    const { mediaDevices } = this.#platform();
    if (mediaDevices === undefined) throw new DOMException("this page has no media devices", "NotSupportedError");
    return mediaDevices;
  }
}
