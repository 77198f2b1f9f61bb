package lab

func insideTest() int { return 0 }
