package picture

// Sized makes the image w×h pixels, keeping its memory where that is enough.
func (img *Image) Sized(w, h int) *Image {
	img.Width, img.Height = w, h
	if n := 3 * w * h; cap(img.Pix) < n {
		img.Pix = make([]uint8, n)
	} else {
		img.Pix = img.Pix[:n]
	}
	return img
}

// FlipUD turns the picture upside down.
func (img *Image) FlipUD() {
	n := 3 * img.Width
	spare := make([]uint8, n)
	for y := range img.Height / 2 {
		upper, lower := img.Pix[n*y:n*(y+1)], img.Pix[n*(img.Height-1-y):][:n]
		copy(spare, upper)
		copy(upper, lower)
		copy(lower, spare)
	}
}

// FlipLR mirrors the picture.
func (img *Image) FlipLR() {
	n := 3 * img.Width
	for y := range img.Height {
		row := img.Pix[n*y : n*(y+1)]
		for i, k := 0, n-3; i < k; i, k = i+3, k-3 {
			p, q := row[i:i+3:i+3], row[k:k+3:k+3]
			p[0], p[1], p[2], q[0], q[1], q[2] = q[0], q[1], q[2], p[0], p[1], p[2]
		}
	}
}

// Planes writes the picture as red, green and blue planes.
func (img *Image) Planes(dst []uint8) {
	n := img.Width * img.Height
	r, g, b := dst[:n], dst[n:][:n], dst[2*n:][:n]
	src := img.Pix[:3*n]
	for i := range r {
		p := src[3*i : 3*i+3 : 3*i+3]
		r[i], g[i], b[i] = p[0], p[1], p[2]
	}
}
