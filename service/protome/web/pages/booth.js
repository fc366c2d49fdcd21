// Takes a photo with the camera, in a dialog.

const element = (id) => document.getElementById(id);

/** Calls use with a JPEG file when a photo is taken. Without access to a camera, such as on a page
 * without TLS, the file chooser opens, which offers the camera on a phone. */
export function setUpBooth(use) {
  const dialog = element("booth"), video = element("video"), capture = element("capture");
  let stream = null;

  const stop = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = video.srcObject = null;
  };

  element("camera").addEventListener("click", async () => {
    try {
      const wanted = { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 960 } };
      stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
    } catch {
      capture.click();
      return;
    }
    video.srcObject = stream;
    dialog.showModal();
    await video.play();
  });
  element("shoot").addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    canvas.toBlob((blob) => blob && use(new File([blob], "camera.jpg")), "image/jpeg", 0.95);
  });
  element("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", stop);
  capture.addEventListener("change", () => {
    if (capture.files[0]) use(capture.files[0]);
    capture.value = "";
  });
}
